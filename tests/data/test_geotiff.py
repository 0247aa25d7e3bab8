"""GeoTIFF: what has no data is void, what lies elsewhere is a fault, names come from the raster's categories."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.making import config_for, picture
from trainer.data import DataError, open_data

tifffile = pytest.importorskip("tifffile")
COUNT, SIZE = 4, (24, 32)


def write(path, array, *, nodata=None, corner=(500000.0, 4000000.0), pixel=0.5, code=32633):
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, code)
    tags = [
        (33550, "d", 3, (pixel, pixel, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, *corner, 0.0), True),
        (34735, "H", len(keys), keys, True),
    ]
    if nodata is not None:
        tags.append((42113, "s", 0, str(nodata), True))
    kind = "rgb" if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8 else "minisblack"
    tifffile.imwrite(path, array, photometric=kind, planarconfig="contig" if array.ndim == 3 else None, extratags=tags)


def make(root, bands=3, **options):
    for number in range(COUNT):
        image, mask = picture(number, SIZE)
        image, label = image.copy(), (mask > 0).astype(np.uint8)
        label[:2, :3], image[-4:] = 9, 0
        if bands == 5:
            image = np.concatenate([image, image[:, :, :2]], axis=2).astype(np.float32) / 7
            image[-4:] = -9999
        write(root / f"images/{number}.tif", image, nodata=0 if bands == 3 else -9999)
        write(root / f"masks/{number}.tif", label, nodata=9, **options)
    return root


@pytest.mark.parametrize("bands", [3, 5])
def test_pixels_without_data_are_void(bands, tmp_path):
    make(tmp_path, bands)
    (tmp_path / "masks/0.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><CategoryNames><Category>field</Category><Category>lake</Category>"
        "</CategoryNames></PAMRasterBand></PAMDataset>",
        encoding="utf-8",
    )
    data = open_data(config_for(tmp_path, classes=(), channels=0))
    number = 0 if data.train.names[0].endswith("0.tif") else int(data.train.names[0][-5])
    example = data.train.load(0)
    expected = (picture(number, SIZE)[1] > 0).astype(int)
    expected[:2, :3], expected[-4:] = 255, 255
    np.testing.assert_array_equal(example.label, expected)
    assert data.classes in (("field", "lake"), ("background", "foreground")) and data.channels == bands
    assert any("GeoTIFF files in EPSG:32633" in note for note in data.notes)
    assert any("pixels of images without data" in note for note in data.notes)
    # Values for no data do not affect the range of the others.
    assert bands == 3 or (np.isfinite(example.image).all() and data.config.data.value_range[0][0] >= 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"corner": (500001.0, 4000000.0)}, "0.tif: the mask lies elsewhere: its corner is (500001, 4000000)"),
        ({"code": 32634}, "0.tif: the mask is in EPSG:32634, and its image in EPSG:32633"),
        ({"pixel": 0.6}, "0.tif: the mask has pixels of (0.6, 0.6)"),
    ],
)
def test_a_mask_that_lies_elsewhere_is_named(options, says, tmp_path):
    with pytest.raises(DataError) as caught:
        open_data(config_for(make(tmp_path, **options), classes=()))
    assert says in str(caught.value), str(caught.value)


def test_zero_as_no_data_is_said_and_kept(tmp_path):
    for number in range(COUNT):
        image, mask = picture(number, SIZE)
        write(tmp_path / f"images/{number}.tif", image)
        write(tmp_path / f"masks/{number}.tif", (mask > 0).astype(np.uint8), nodata=0)
    data = open_data(config_for(tmp_path, classes=()))
    assert set(np.unique(data.train.load(0).label)) == {0, 1}
    assert any("--config.data.void_values=0 makes it void" in note for note in data.notes)
