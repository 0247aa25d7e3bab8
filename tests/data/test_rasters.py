"""Large TIFF files a part at a time: pixels equal those of the whole, whatever the encoding; refusals."""

import dataclasses
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from configs.schema import Data
from trainer.data import DataError, read_image
from trainer.data.images import size_limits
from trainer.data.images.rasters import GEO_TAGS, header, open_raster

tifffile = pytest.importorskip("tifffile")

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (70, 53, 3)).astype(np.uint8)
GREY = RGB[:, :, 0]
DEEP = RANDOM.integers(0, 65536, (70, 53, 5)).astype(np.uint16)
GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True),
    (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
]


@pytest.mark.parametrize(
    ("array", "data", "options"),
    [
        (RGB, {}, {"rowsperstrip": 9}),
        (RGB, {}, {"tile": (32, 16), "compression": "zlib", "bigtiff": True}),
        (RGB, {"channels": 1}, {"tile": (16, 16), "compression": "zlib", "predictor": True}),
        (RGB.transpose(2, 0, 1), {}, {"planarconfig": "separate", "tile": (16, 16)}),
        (np.dstack([RGB, GREY]), {}, {"rowsperstrip": 70, "extrasamples": ["unassalpha"]}),
        (GREY, {}, {"rowsperstrip": 9}),
        (GREY, {}, {"rowsperstrip": 9, "photometric": "miniswhite"}),
        (GREY, {}, {"photometric": "palette", "colormap": RANDOM.integers(0, 256, (3, 256)).astype(np.uint16) * 257}),
        (DEEP[..., 0], {}, {"rowsperstrip": 9, "byteorder": ">"}),
        (DEEP[..., 0], {"value_range": ((100.0, 5000.0),)}, {"rowsperstrip": 70}),
        (DEEP, {"channels": 5, "value_range": ((100.0, 5000.0),)}, {"tile": (16, 32), "planarconfig": "contig"}),
        (DEEP.transpose(2, 0, 1), {"channels": 5, "pages": "channels"}, {"photometric": "minisblack"}),
    ],
)
def test_parts_are_those_of_the_whole(tmp_path, array, data, options):
    path, data = str(tmp_path / "a.tif"), Data(**data)
    about = {name: options.pop(name) for name in ("bigtiff", "byteorder") if name in options}
    options.setdefault("photometric", "rgb" if array.shape[-1] in (3, 4) or array.shape[0] == 3 else "minisblack")
    with tifffile.TiffWriter(path, **about) as file:
        file.write(array, metadata=None, **options)
    whole = read_image(path, data)
    found = header(path, data, 0)
    assert (found.height, found.width) == whole.shape[:2]
    with open_raster(found, data, 0) as raster:
        assert raster.array is None and not raster.geo
        for top, bottom, left, right in [
            (0, 20, 0, 53),
            (12, 40, 3, 50),
            (40, 70, 0, 53),
            (0, 1, 0, 1),
            (0, 70, 0, 53),
        ]:
            part = raster.read(top, bottom, left, right)
            assert part.dtype == whole.dtype
            np.testing.assert_array_equal(part, whole[top:bottom, left:right])


def test_a_pyramid_is_one_image_and_sparse_tiles_are_empty(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(GREY, tile=(16, 16), subfiletype=0, metadata=None, extratags=GEO)
        file.write(GREY[::2, ::2], tile=(16, 16), subfiletype=1, metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        counts = file.pages[0].tags["TileByteCounts"]
        content[counts.valueoffset : counts.valueoffset + 2] = bytes(2)
    path.write_bytes(content)
    found = header(str(path), Data(), 0)
    assert found.facts.pages == 1 and found.geo
    with open_raster(found, Data(), 0) as raster:
        assert (raster.read(0, 16, 0, 16) == 0).all()
        assert (raster.read(16, 70, 0, 53)[..., 0] == GREY[16:]).all()
        assert raster.geo and (raster.crs is not None or {tag[0] for tag in raster.tags} <= set(GEO_TAGS))


def test_what_is_refused(tmp_path, monkeypatch):
    path = str(tmp_path / "a.tif")
    tifffile.imwrite(path, RGB, rowsperstrip=9, metadata=None)
    whole = open(path, "rb").read()
    with tifffile.TiffFile(path) as file:
        cut = file.pages[0].dataoffsets[-1] + 10
    # The directory stands before the pixels.
    open(path, "wb").write(whole[:cut])
    with pytest.raises(DataError, match=r"a\.tif.*truncated"), open_raster(header(path, Data(), 0), Data(), 0):
        pass
    tifffile.imwrite(path, RGB, rowsperstrip=70, compression="zlib", metadata=None)
    monkeypatch.setattr(size_limits, "available_memory", lambda: 1000)
    with (
        pytest.raises(DataError, match=r"in one piece .*\n?.*TILED=YES"),
        open_raster(header(path, Data(), 0), Data(), 0),
    ):
        pass
    tifffile.imwrite(path, np.stack([RGB, RGB]), rowsperstrip=9, photometric="rgb", metadata=None)
    with pytest.raises(DataError, match="has 2 pages"), open_raster(header(path, Data(), 0), Data(), 0):
        pass


def png(width, height, content):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(content)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_max_pixels_is_a_limit_for_bombs_and_none_for_work(tmp_path, monkeypatch):
    data = Data(max_pixels=1000)
    noise = tmp_path / "noise.png"
    Image.fromarray(RGB).save(noise)
    assert read_image(noise, data).shape == RGB.shape
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png(1000, 1000, bytes(1001 * 1000)))
    for read in (lambda: read_image(bomb, data), lambda: header(str(bomb), data, 0)):
        with pytest.raises(DataError, match=r"1,000,000 pixels from a file of .*bomb.\n.*max_pixels=1000000"):
            read()
    assert read_image(bomb, dataclasses.replace(data, max_pixels=10**6)).shape == (1000, 1000, 3)
    monkeypatch.setattr(size_limits, "available_memory", lambda: 1000)
    with pytest.raises(DataError, match=r"GiB of memory are free.*by windows"):
        read_image(noise, data)
    assert size_limits.trouble(30_000, 30_000, 24, 10**8, data.max_pixels, by_windows=True) == ""
    assert size_limits.trouble(30_000, 30_000, 24, 10**8, data.max_pixels) != ""


def test_free_memory_is_a_number_here():
    memory = size_limits.available_memory()
    assert memory is None or 2**20 < memory < 2**50
