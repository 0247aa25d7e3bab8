"""Prediction through real files: what goes in, what comes out, under which name, and what a bad file does."""

import os

import keras
import numpy as np
import pytest
from PIL import Image

from configs.schema import Config, Data, Evaluate, Model
from trainer.models.inference_memory import footprint
from trainer.prediction import outputs as outputs_module
from trainer.prediction import windows
from trainer.prediction.inputs import Failure, find_images, output_names
from trainer.prediction.paths import predict_paths, shares
from trainer.prediction.strips import Strip
from trainer.prediction.volumes import find_cases
from trainer.reporting import panels
from trainer.reporting.panels import class_colors

CONFIG = Config(data=Data(classes=("background", "bright")), model=Model(outputs="sigmoid", depth=2))


@pytest.fixture(scope="module")
def model():
    """Bright pixels (mean above 128) are class 1."""
    image = keras.Input([None, None, 3])
    layer = keras.layers.Conv2D(1, 1)
    logits = layer(image)
    layer.set_weights([np.full([1, 1, 3, 1], 1 / 3, np.float32), np.array([-128.0], np.float32)])
    return keras.Model(image, logits)


def write_image(path, size=(21, 34), seed=0, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": 3, "L": 0, "RGBA": 4}[mode]
    shape = (*size, channels) if channels else size
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def outputs(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*g"))


def test_mask_and_overlay_have_the_size_of_the_image(tmp_path, model):
    pixels = write_image(tmp_path / "in" / "a.png")
    lines = []
    failures = predict_paths(model, [str(tmp_path / "in")], str(tmp_path / "out"), CONFIG, report=lines.append)
    assert failures == []
    assert outputs(tmp_path / "out") == ["masks/a.png", "overlays/a.jpg"]
    mask = Image.open(tmp_path / "out" / "masks" / "a.png")
    expected = (pixels.mean(axis=-1) > 128).astype(np.uint8)
    assert mask.mode == "P"
    assert (np.asarray(mask) == expected).mean() > 0.999
    assert (np.asarray(mask.convert("RGB")) == class_colors(CONFIG.data.classes)[np.asarray(mask)]).all()
    overlay = np.asarray(Image.open(tmp_path / "out" / "overlays" / "a.jpg"), float)
    painted = panels.overlay(pixels, np.asarray(mask), classes=CONFIG.data.classes)
    background = np.asarray(mask) == 0
    assert (painted[background] == pixels[background]).all()
    assert (painted[~background] != pixels[~background]).any(axis=-1).mean() > 0.9
    # Of noise JPEG keeps less than of any picture.
    assert overlay.shape == pixels.shape and np.abs(overlay - painted).mean() < 8
    assert lines[0].startswith(f"{tmp_path}/in/a.png -> a.png  ") and "background" in lines[0]
    assert lines[1].startswith("1 of 1 done")


def test_tiles_give_the_same_masks(tmp_path, model):
    write_image(tmp_path / "a.png", size=(70, 45))
    tiled = Config(data=CONFIG.data, model=CONFIG.model, evaluate=Evaluate(tile=(32, 32), tile_overlap=8))
    masks = []
    for name, config in [("whole", CONFIG), ("tiled", tiled)]:
        assert predict_paths(model, [str(tmp_path / "a.png")], str(tmp_path / name), config) == []
        masks.append(np.asarray(Image.open(tmp_path / name / "masks" / "a.png")))
    assert (masks[0] == masks[1]).mean() > 0.999


def test_a_large_image_is_cut_by_itself_and_that_is_said(tmp_path, model, monkeypatch):
    """And an output that is named masks/ is the masks' own folder, with the overlays beside it."""
    write_image(tmp_path / "in" / "large.png", size=(90, 120))
    write_image(tmp_path / "in" / "small.png")
    assert predict_paths(model, [str(tmp_path / "in")], str(tmp_path / "whole"), CONFIG) == []
    lines = []
    monkeypatch.setattr(windows, "_MEMORY", footprint(model, 3).activations * 64 * 64)
    out = str(tmp_path / "cut" / "masks")
    assert predict_paths(model, [str(tmp_path / "in")], out, CONFIG, report=lines.append) == []
    assert outputs(tmp_path / "cut") == outputs(tmp_path / "whole")
    for name in ("large.png", "small.png"):
        whole, cut = (Image.open(tmp_path / folder / "masks" / name) for folder in ("whole", "cut"))
        assert np.array_equal(whole, cut)
    assert [line.endswith("in tiles") for line in lines] == [True, False, False]
    # What lies beside masks/ then is no input either.
    assert predict_paths(model, [str(tmp_path)], str(tmp_path / "masks"), CONFIG) == []
    before = outputs(tmp_path / "overlays")
    assert predict_paths(model, [str(tmp_path)], str(tmp_path / "masks"), CONFIG) == []
    assert outputs(tmp_path / "overlays") == before


def test_bad_files_are_named_and_the_others_done(tmp_path, model):
    write_image(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "empty.png").write_bytes(b"")
    (tmp_path / "in" / "text.jpg").write_text("not a picture", encoding="utf-8")
    whole = (tmp_path / "in" / "good.png").read_bytes()
    (tmp_path / "in" / "cut.png").write_bytes(whole[: len(whole) // 2])
    inputs = [str(tmp_path / "in"), str(tmp_path / "absent.png"), str(tmp_path / "*.tif")]
    lines = []
    failures = predict_paths(model, inputs, str(tmp_path / "out"), CONFIG, report=lines.append)
    assert {os.path.basename(failure.path) for failure in failures} == {
        "empty.png",
        "text.jpg",
        "cut.png",
        "absent.png",
        "*.tif",
    }
    assert all(failure.path in str(failure) for failure in failures)
    assert lines[1:] == [*(f"not predicted: {failure}" for failure in failures), lines[-1]]
    assert lines[-1].startswith("1 of 6 done")
    assert outputs(tmp_path / "out") == ["masks/good.png", "overlays/good.jpg"]


def test_the_same_stem_in_two_folders_stays_two_outputs(tmp_path, model):
    for folder in ("left", "right"):
        write_image(tmp_path / folder / "deep" / "a.png")
    inputs = [str(tmp_path / "left" / "deep" / "a.png"), str(tmp_path / "right" / "deep" / "a.png")]
    assert predict_paths(model, inputs, str(tmp_path / "out"), CONFIG) == []
    assert outputs(tmp_path / "out" / "masks") == ["left/deep/a.png", "right/deep/a.png"]


def test_grey_and_rgba_and_wrong_extension(tmp_path, model):
    write_image(tmp_path / "in" / "grey.png", mode="L")
    write_image(tmp_path / "in" / "alpha.png", mode="RGBA")
    write_image(tmp_path / "in" / "really_png.jpg", format="PNG")
    assert predict_paths(model, [str(tmp_path / "in" / "*")], str(tmp_path / "out"), CONFIG) == []
    assert len(outputs(tmp_path / "out" / "masks")) == 3


def test_what_was_written_is_not_an_input_of_the_next_run(tmp_path, model):
    write_image(tmp_path / "a.png")
    for _ in range(2):
        assert predict_paths(model, [str(tmp_path)], str(tmp_path / "predictions"), CONFIG) == []
    assert outputs(tmp_path / "predictions") == ["masks/a.png", "overlays/a.jpg"]


def test_inputs_are_found_once_in_order(tmp_path):
    for name in ("b.png", "a.JPG", "sub/c.tiff", "notes.txt", ".hidden.png", ".git/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = str(tmp_path)
    found, failures = find_images([folder, os.path.join(folder, "b.png"), os.path.join(folder, "**", "*.png")])
    assert [os.path.relpath(path, folder) for path in found] == ["a.JPG", "b.png", "sub/c.tiff"]
    assert failures == []


@pytest.mark.parametrize("images, masks, suffix", [("images", "masks", ".png"), ("imagesTr", "labelsTr", ".nii.gz")])
def test_masks_beside_images_are_no_pictures_unless_their_folder_is_named(tmp_path, images, masks, suffix):
    for name in (f"Tile 1/{images}/a{suffix}", f"Tile 1/{masks}/a{suffix}", f"alone/{masks}/b{suffix}"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    lines = []

    def found(folder):
        if suffix == ".png":
            paths = list(find_images([folder], report=lines.append)[0])
        else:
            paths = [files.images[0] for files in find_cases([folder], 1, report=lines.append)[0]]
        return [os.path.relpath(path, tmp_path) for path in paths]

    of_masks = os.path.join(tmp_path, "Tile 1", masks)
    assert found(str(tmp_path)) == [f"Tile 1/{images}/a{suffix}", f"alone/{masks}/b{suffix}"]
    assert lines == [f"{of_masks}: masks beside images, left out. Name the folder to predict its files."]
    assert found(of_masks) == [f"Tile 1/{masks}/a{suffix}"]


def test_a_name_with_pattern_characters_is_a_file(tmp_path):
    path = str(tmp_path / "scan[1] *.png")
    open(path, "w", encoding="utf-8").close()
    assert list(find_images([path])[0]) == [path]


def test_an_input_that_leads_nowhere_is_a_failure(tmp_path):
    (tmp_path / "empty").mkdir()
    inputs = [str(tmp_path / name) for name in ("empty", "none", "*.png")]
    found, failures = find_images(inputs)
    assert found == {}
    assert [failure.path for failure in failures] == inputs
    assert [failure.reason.split(";")[0] for failure in failures] == [
        "no image in it",
        "there is no such file or folder",
        "no file matches this pattern",
    ]


def test_output_names():
    names = output_names(
        {
            "/data/x/a.jpg": "a.jpg",
            "/data/y/a.jpg": "a.jpg",
            "/data/b.jpg": "b.jpg",
            "/data/b.png": "b.png",
            "/data/sub/c.png": "sub/c.png",
            "/data/d.png": "d.png",
            "/data/D.png": "D.png",
        }
    )
    assert names == {
        "/data/x/a.jpg": "x/a",
        "/data/y/a.jpg": "y/a",
        "/data/b.jpg": "b_jpg",
        "/data/b.png": "b_png",
        "/data/sub/c.png": "sub/c",
        "/data/d.png": "d_png",
        "/data/D.png": "D_png_2",
    }


def test_masks_of_many_classes_keep_their_ids(tmp_path):
    for ids in ([0, 1, 255], [0, 300, 999]):
        writer = outputs_module._PngMask(str(tmp_path / "mask.png"), (1, 3), [f"class_{n}" for n in range(ids[-1] + 1)])
        writer.write(Strip(0, np.array([ids]), np.array([ids])))
        writer.close()
        assert np.asarray(Image.open(tmp_path / "mask.png")).tolist() == [ids]


def test_shares():
    assert shares(np.array([3, 0, 1]), 4, ("sky", "sea", "land")) == "sky 75.0 %, land 25.0 %"


def test_a_failure_names_its_file_once():
    assert str(Failure("a.png", "a.png is empty")) == "a.png is empty"
    assert str(Failure("a.png", "empty")) == "a.png: empty"
