"""Many files: each result equals that of the file alone, in order, within the bytes that may wait."""

import dataclasses
import os

import keras
import numpy as np
import pytest
from PIL import Image

from configs.schema import Config, Data, Evaluate, Model, Predict
from trainer.data.images.rasters import GEO_TAGS, Raster, has_rasterio
from trainer.models.inference_memory import footprint
from trainer.prediction import files, windows
from trainer.prediction.arrays import predict_arrays
from trainer.prediction.files import predict_files
from trainer.prediction.network import Network
from trainer.prediction.outputs import Outputs
from trainer.prediction.paths import predict_paths
from trainer.prediction.strips import Strip, strips
from trainer.reporting.panels import class_colors
from trainer.stepping.segmentation import Segmentation

CONFIG = Config(data=Data(classes=("background", "middle", "bright")), model=Model(depth=2))
# Rows of an image of nine in two strips.
PARTS = ((0, 5), (5, 9))


@pytest.fixture(scope="module")
def model():
    """Dark, middle and bright pixels, by their mean."""
    image = keras.Input([None, None, 3])
    layer = keras.layers.Conv2D(3, 1)
    logits = layer(image)
    layer.set_weights([np.tile([[[[0.0, 1 / 60, 1 / 30]]]], [1, 1, 3, 1]), np.array([0.0, -5.01, -13.03])])
    return keras.Model(image, logits)


def expected(pixels):
    means = pixels.astype(np.float64).mean(axis=-1)
    return np.stack([0 * means, means / 20 - 5.01, means / 10 - 13.03], axis=-1).argmax(axis=-1)


def with_options(config=CONFIG, **options):
    return dataclasses.replace(config, predict=Predict(**options))


def write(folder, sizes):
    random, pixels = np.random.default_rng(0), {}
    os.makedirs(folder, exist_ok=True)
    for number, size in enumerate(sizes):
        pixels[f"{number:02d}"] = random.integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels[f"{number:02d}"]).save(os.path.join(folder, f"{number:02d}.png"))
    return pixels


def mask_of(path):
    return np.asarray(Image.open(path))


def test_equal_sizes_go_together_and_reports_come_in_order(tmp_path, model, monkeypatch):
    sizes = [(20, 30), (20, 30), (31, 17), (20, 30), (200, 300), (31, 17), (20, 30)]
    pixels = write(tmp_path / "in", sizes)
    (tmp_path / "in" / "03x.png").write_text("no image", encoding="utf-8")
    monkeypatch.setattr(windows, "_MEMORY", footprint(model, 3).activations * 100 * 100)
    seen = []
    whole = Network.whole
    monkeypatch.setattr(Network, "whole", lambda self, b: seen.extend(len(x) for x in b) or whole(self, b))
    network = Network(model, CONFIG)
    names = sorted(os.listdir(tmp_path / "in"))
    items = [(str(tmp_path / "in" / name), name[:-4]) for name in names]
    done, moved = [], []
    predict_files(
        network,
        items,
        Outputs(str(tmp_path / "out"), CONFIG.data, Predict(overlays=False)),
        CONFIG,
        done=done.append,
        moved=lambda now, all_of_them: moved.append((now, all_of_them)),
    )
    assert [os.path.basename(result.path) for result in done] == names
    assert [name for name, result in zip(names, done, strict=True) if result.trouble is not None] == ["03x.png"]
    assert sorted(seen) == [2, 4]  # the large result is cut
    for name, image in pixels.items():
        mask = mask_of(tmp_path / "out" / "masks" / f"{name}.png")
        assert mask.shape == image.shape[:2] and (mask == expected(image)).mean() > 0.999
    total = sum(height * width for height, width in sizes)
    assert moved[-1] == (total, total) and [now for now, _ in moved] == sorted(now for now, _ in moved)
    assert not (tmp_path / "out" / "overlays").exists()


def test_what_waits_is_bounded_by_bytes(tmp_path, model, monkeypatch):
    write(tmp_path / "in", [(400, 500)] * 6)
    held, decoded = [], files._Flow._decoded

    def counting(self, found):
        held.append(self._held)
        return decoded(self, found)

    monkeypatch.setattr(files._Flow, "_decoded", counting)
    config = with_options(ahead_mib=2, overlays=False)
    assert predict_paths(model, [str(tmp_path / "in")], str(tmp_path / "out"), config) == []
    # 400 x 500 x 3 and their mask are 0.76 MiB each.
    assert len(held) == 6 and max(held) <= 2 * 2**20
    assert len(os.listdir(tmp_path / "out" / "masks")) == 6


def test_options(tmp_path, model):
    pixels = write(tmp_path / "in", [(20, 30), (41, 25)])
    folder, out = str(tmp_path / "in"), tmp_path / "out"
    options = with_options(overlays=False, probabilities="float16", mirror=True)
    assert predict_paths(model, [folder], str(out), options) == []
    assert predict_paths(model, [folder], str(out), with_options(overlays=False, probabilities="png")) == []
    assert sorted(os.listdir(out)) == ["masks", "probabilities"]
    task = Segmentation(model, None, CONFIG, CONFIG.data.classes, [1])
    for name, image in pixels.items():
        shares = np.load(out / "probabilities" / f"{name}.npy")
        assert shares.dtype == np.float16 and shares.shape == (*image.shape[:2], 3)
        np.testing.assert_allclose(shares.sum(axis=-1, dtype=np.float32), 1, atol=2e-3)
        assert (shares.argmax(axis=-1) == mask_of(out / "masks" / f"{name}.png")).mean() > 0.99
        for number, of_class in enumerate(CONFIG.data.classes):
            levels = mask_of(out / "probabilities" / name / f"{of_class}.png")
            np.testing.assert_allclose(levels / 255, shares[..., number], atol=3e-3)
        (array,) = predict_arrays(task, [image], with_options(probabilities="float16", mirror=True))
        np.testing.assert_array_equal(array, shares)

    # What is there is left out; what lacks something is made.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (out / "masks" / "01.png").unlink()
    lines: list = []
    config = with_options(overlays=False, probabilities="png", skip_existing=True)
    assert predict_paths(model, [folder], str(out), config, report=lines.append) == []
    assert lines[0].startswith("1 done already") and lines[-1].startswith("1 of 2 done, 1 before")
    again = {path for path in before if path.stat().st_mtime_ns != before[path]}
    assert again and all("01" in str(path) for path in again)
    assert not [path for path in out.rglob("*") if "writing" in path.name]


@pytest.mark.parametrize("tile", [(0, 0), (32, 32)])
@pytest.mark.parametrize(("encoding", "count"), [("planes", 3), ("bits", 1), ("auto", 3)])
def test_classes_that_overlap(tmp_path, model, tile, encoding, count):
    pixels = write(tmp_path / "in", [(41, 75)])
    data = dataclasses.replace(CONFIG.data, labels="multi", mask_encoding=encoding)
    config = Config(data=data, model=CONFIG.model, evaluate=Evaluate(tile=tile, tile_overlap=8))
    config = with_options(config, probabilities="png", skip_existing=True, mirror=True)
    assert config.data.multi_label
    for expected_line in ("1 of 1 done", "0 of 1 done, 1 before"):
        lines: list = []
        assert predict_paths(model, [str(tmp_path / "in")], str(tmp_path / "out"), config, report=lines.append) == []
        assert lines[-1].startswith(expected_line)
    means = pixels["00"].astype(np.float64).mean(axis=-1)
    planes = np.stack([0 * means > 0, means / 20 - 5.01 > 0, means / 10 - 13.03 > 0], axis=-1)
    files = sorted((tmp_path / "out" / "masks").rglob("*.png"))
    made = [mask_of(path) for path in files]
    if encoding == "bits":
        made = [(made[0] >> number) & 1 for number in range(3)]
    elif encoding == "planes":
        made = list(np.moveaxis(made[0], -1, 0))
    else:
        assert [path.parent.name for path in files] == sorted(CONFIG.data.classes)
        made = [made[sorted(CONFIG.data.classes).index(name)] for name in CONFIG.data.classes]
    assert (np.stack(made, axis=-1).astype(bool) == planes).mean() > 0.999
    levels = mask_of(tmp_path / "out" / "probabilities" / "00" / "bright.png")
    np.testing.assert_allclose(levels / 255, 1 / (1 + np.exp(-(means / 10 - 13.03))), atol=3e-3)


def test_a_mosaic_scores_what_its_images_score_apart(monkeypatch):
    """Discs in noise through a blur: 64 images of 64 x 64, apart and as one picture in tiles."""
    images = keras.Input([None, None, 1])
    blur = keras.layers.DepthwiseConv2D(5, padding="same", use_bias=False, depthwise_initializer="ones")
    scaled = keras.layers.Rescaling(1 / 25, offset=-100.0)(blur(images))
    model = keras.Model(images, scaled)
    config = Config(data=Data(classes=("dark", "disc"), channels=1), model=Model(outputs="sigmoid"))
    random, rows = np.random.default_rng(0), np.arange(64)
    labels, pictures = [], []
    for _ in range(64):
        y, x, radius = random.uniform(20, 44, 2).tolist() + [random.uniform(8, 18)]
        labels.append((rows[:, None] - y) ** 2 + (rows - x) ** 2 < radius**2)
        noise = random.normal(0, 40, (64, 64))
        pictures.append(np.clip(60 + 80 * labels[-1] + noise, 0, 255).astype(np.uint8)[..., None])
    join = lambda parts: np.vstack([np.hstack(parts[8 * row : 8 * row + 8]) for row in range(8)])  # noqa: E731
    apart = Network(model, config).whole([np.stack(pictures)])[0]["ids"].numpy()
    monkeypatch.setattr(windows, "_MEMORY", footprint(model, 1).activations * 200 * 200)
    cut = Network(model, config)
    mosaic = join(pictures)
    assert not cut.fits_whole(*mosaic.shape[:2])
    parts = strips(cut, lambda top, bottom, left, right: mosaic[top:bottom, left:right], 512, 512)
    together = np.concatenate([strip.ids for strip in parts])

    def dice(mask, label):
        return 2 * (mask & label).sum() / (mask.sum() + label.sum())

    scores = [dice(mask, label) for mask, label in zip(apart, labels, strict=True)]
    again = [dice(together[64 * n // 512 * 64 :][:64, n % 8 * 64 :][:, :64], label) for n, label in enumerate(labels)]
    assert 0.8 < np.mean(scores) < 1
    assert abs(np.mean(scores) - np.mean(again)) < 0.002


def test_what_cannot_be_written_is_an_error_and_leaves_nothing_half_done(tmp_path, model):
    write(tmp_path / "in", [(20, 30)])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "overlays").write_text("a file in the way", encoding="utf-8")
    with pytest.raises(OSError):
        predict_paths(model, [str(tmp_path / "in")], str(tmp_path / "out"), CONFIG)
    assert not list(tmp_path.rglob("*.writing-*"))


def test_a_large_tiff_goes_through_by_windows_and_keeps_its_coordinates(tmp_path, model):
    tifffile = pytest.importorskip("tifffile")
    pixels = np.random.default_rng(0).integers(0, 256, (700, 800, 3)).astype(np.uint8)
    geo = [
        (33550, 12, 3, (0.5, 0.5, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True),
        (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
    ]
    os.makedirs(tmp_path / "in")
    for name, tags, size in [("large.tif", [], 700), ("large_geo.tif", geo, 700), ("small_geo.tif", geo, 90)]:
        tifffile.imwrite(tmp_path / "in" / name, pixels[:size], tile=(64, 64), extratags=tags, metadata=None)
    lines: list = []
    config = dataclasses.replace(
        with_options(ahead_mib=1, probabilities="float16"), evaluate=Evaluate(tile=(256, 256), tile_overlap=32)
    )
    assert predict_paths(model, [str(tmp_path / "in")], str(tmp_path / "out"), config, report=lines.append) == []
    assert "large.tif -> large.tif" in lines[0]
    for name, size in [("large", 700), ("large_geo", 700), ("small_geo", 90)]:
        with tifffile.TiffFile(tmp_path / "out" / "masks" / f"{name}.tif") as file:
            page = file.pages[0]
            assert page.is_tiled and page.photometric.name == "PALETTE" and page.dtype == np.uint8
            np.testing.assert_array_equal(page.colormap.T[:3] >> 8, class_colors(CONFIG.data.classes)[:3])
            mask = page.asarray()
            found = {code: page.tags[code].value for code in GEO_TAGS if code in page.tags}
        assert mask.shape == (size, 800) and (mask == expected(pixels[:size])).mean() > 0.999
        shares = np.load(tmp_path / "out" / "probabilities" / f"{name}.npy")
        assert (shares.argmax(axis=-1) == mask).mean() > 0.99
        if name == "large":
            assert found == {}
        else:
            assert found[33550][:2] == (0.5, 0.5) and found[33922][3:5] == (4e5, 5e6)
            assert 32633 in found[34735]


@pytest.mark.skipif(not has_rasterio(), reason="rasterio is not installed")
def test_a_world_file_is_a_coordinate_system_where_rasterio_is_installed(tmp_path, model):
    import rasterio
    import tifffile

    pixels = np.random.default_rng(0).integers(0, 256, (90, 80, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=None)
    (tmp_path / "a.tfw").write_text("0.5\n0\n0\n-0.5\n400000.25\n4999999.75\n", encoding="utf-8")
    assert predict_paths(model, [str(tmp_path / "a.tif")], str(tmp_path / "out"), CONFIG) == []
    with rasterio.open(tmp_path / "out" / "masks" / "a.tif") as file:
        assert (file.transform.a, file.transform.c, file.transform.f) == (0.5, 400000.0, 5000000.0)
        assert (file.read(1) == expected(pixels)).mean() > 0.999


def test_overlays_of_strips_and_of_sides_that_no_jpeg_has(tmp_path):
    """Strips give the picture that the whole gives; of a longer side than JPEG's every second pixel is kept."""
    outputs = Outputs(str(tmp_path), CONFIG.data, Predict())
    for name, height, width, step in [("long", 9, 70_000, 2), ("small", 9, 21, 1)]:
        ids = np.broadcast_to((np.arange(height) % 3).astype(np.uint8)[:, None], [height, width])
        image = np.full([height, width, 3], 90, np.uint8)
        raster = Raster(height, width, None, image)
        whole = outputs.write(name, raster, [Strip(0, image, ids)])
        cut = outputs.write(name + "_cut", raster, [Strip(top, image[top:end], ids[top:end]) for top, end in PARTS])
        assert (whole.step, cut.step) == (step, step)
        pictures = [np.asarray(Image.open(outputs.overlay(n))) for n in (name, name + "_cut")]
        assert pictures[0].shape == (-(-height // step), -(-width // step), 3)
        assert pictures[1].shape == pictures[0].shape
        # At a strip's edge the outline does not know its neighbours; here every row is an outline.
        assert np.abs(pictures[0][1:4].astype(int) - pictures[1][1:4]).mean() < 8
