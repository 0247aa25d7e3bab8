"""Exports are scored on validation images, by what an evaluation says; and their programs serve without us."""

import json
import pathlib
import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from configs.schema import Augment, Config, Data, Model, Optimizer, Train
from trainer import Run
from trainer.export import export as export_module
from trainer.export.errors import ExportError
from trainer.export.export import export
from trainer.export.proof import in_tiles
from trainer.export.serving.serve import predict, read, starts
from trainer.prediction import postprocessing
from trainer.prediction.postprocessing import Parts, PostProcessing

pytestmark = pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")

random = np.random.default_rng(0)
LABELS = np.zeros((16, 40, 56), "uint8")
for label in LABELS:
    row, column = random.integers(2, 20, 2)
    label[row : row + 16, column : column + 20] = 1
IMAGES = (random.normal(80, 20, (*LABELS.shape, 3)) + 70 * LABELS[..., None]).clip(0, 255).astype("uint8")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = Config(
        data=Data(classes=("ground", "thing")),
        model=Model(width=4, depth=1, input_scaling="unit"),
        augment=Augment(crop=(32, 32)),
        optimizer=Optimizer(learning_rate=1e-2),
        train=Train(length="30 steps", batch_size=4),
    )
    run = Run(config, workdir=workdir / "run", data=(IMAGES, LABELS))
    run.train()
    parts = {"thing": Parts(largest=True)}
    made = PostProcessing(classes=("ground", "thing"), thresholds={"thing": 0.4}, parts=parts)
    postprocessing.save(run.workdir, made)
    formats = ("saved_model", "litert", "litert_float16", "litert_int8")
    lines = run.export(workdir / "out", formats)
    return run, workdir / "out", lines


def test_the_score_is_that_of_the_evaluation(exported):
    run, folder, lines = exported
    evaluated = run.evaluate()
    found = json.loads((folder / "model.json").read_text(encoding="utf-8"))["exported"]
    assert found["model"]["mean_dice"] == pytest.approx(evaluated.mean_dice, abs=2e-4)
    assert found["saved_model"]["mean_dice"] == pytest.approx(evaluated.mean_dice, abs=2e-4)
    assert found["model"]["images"] == evaluated.images == len(run.data.validation)
    assert evaluated.mean_dice > 0.8 and evaluated.without_postprocessing
    assert lines[0].startswith("saved_model") and "mean Dice" in lines[0] and "ms an image" in lines[0]


def test_post_processing_goes_out_beside_the_models(exported, tmp_path):
    run, folder, lines = exported
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert "threshold 0.4 of thing; the largest part of thing alone" in description["postprocessing"]
    assert json.loads((folder / "postprocessing.json").read_text(encoding="utf-8"))["neighbours"] == 8
    assert any(line.startswith("Post-processing: threshold 0.4") for line in lines)
    assert (folder / "postprocess.py").is_file()


def test_smaller_formats_are_smaller_and_nearly_as_good(exported):
    _, folder, lines = exported
    found = json.loads((folder / "model.json").read_text(encoding="utf-8"))["exported"]
    for name in ("litert_float16", "litert_int8"):
        assert found[name]["bytes"] < found["litert"]["bytes"]
        assert found[name]["mean_dice"] > found["model"]["mean_dice"] - 0.01
    assert "largest_difference" not in found["litert_int8"] and any("litert_int8" in line for line in lines)


def test_a_format_that_scores_worse_is_not_kept(exported, tmp_path, monkeypatch):
    run, _, _ = exported
    write = export_module._write

    def blind(name, *arguments):
        predictor = write(name, *arguments)
        return lambda image: {k: np.zeros_like(v) for k, v in predictor(image).items()}

    monkeypatch.setattr(export_module, "_write", blind)
    with pytest.raises(ExportError, match=r"(?s)litert_int8 has a mean Dice of 0\.\d+ .* and the model 0\.[89]\d+"):
        run.export(tmp_path, ["litert_int8"])
    assert not [*tmp_path.glob("*.tflite")]


def test_without_data_nothing_is_scored_and_whole_numbers_are_refused(exported, tmp_path):
    run, _, _ = exported
    lines = export(run.task.model, run.config, str(tmp_path), ("saved_model",))
    assert lines[-1] == "Nothing was scored: there are no validation images at hand."
    with pytest.raises(ExportError, match="takes the ranges of its numbers from training images"):
        export(run.task.model, run.config, str(tmp_path), ("litert_int8",))


@pytest.mark.parametrize("model", ["model.tflite", "saved_model"])
def test_its_program_writes_the_mask_that_the_run_predicts(exported, tmp_path, model, monkeypatch):
    run, folder, _ = exported
    image = IMAGES[3]
    Image.fromarray(image).save(tmp_path / "photo.png")
    monkeypatch.setattr(sys, "argv", ["serve.py", str(folder / model), "photo.png", "mask.png"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(folder)  # as of a program that is run by its path
    runpy.run_path(str(folder / "serve.py"), run_name="__main__")
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    assert mask.shape == image.shape[:2] and (mask == run.predict(image[None])[0]).mean() > 0.97


def test_its_program_says_what_it_cannot_take(tmp_path):
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(tmp_path / "deep.png")
    pages = [Image.new("L", (8, 8))] * 3
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    np.save(tmp_path / "float.npy", np.zeros((8, 8), np.float32))
    for name, words in (
        ("deep.png", "more than 8 bits"),
        ("pages.tif", "3 pages"),
        ("float.npy", "is float32 \\[8, 8"),
    ):
        with pytest.raises(ValueError, match=words):
            read(str(tmp_path / name), 3)


def test_its_program_writes_a_mask_for_each_of_classes_that_overlap(exported, tmp_path):
    _, folder, _ = exported
    program = runpy.run_path(str(folder / "serve.py"))
    probabilities = random.uniform(size=(5, 6, 3)).astype(np.float32)
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert list(description["outputs"]) == ["class_ids", "probabilities"]
    (tmp_path / "model.json").write_text(json.dumps(description), encoding="utf-8")
    assert (program["finished"](probabilities, str(tmp_path)) == probabilities.argmax(-1)).all()
    description["outputs"]["labels"] = description["outputs"].pop("class_ids")
    (tmp_path / "model.json").write_text(json.dumps(description), encoding="utf-8")
    program["write"](program["finished"](probabilities, str(tmp_path)), str(tmp_path / "mask.png"))
    for number in range(3):
        mask = np.asarray(Image.open(tmp_path / f"mask_{number}.png"))
        np.testing.assert_array_equal(mask, np.where(probabilities[..., number] > 0.5, 255, 0))


def test_tiles_cover_every_pixel_and_agree_with_the_whole():
    for length, side in ((7, 7), (8, 7), (100, 32), (33, 32)):
        begins = starts(length, side)
        assert begins[0] == 0 and begins[-1] == length - side and (np.diff(begins) <= side - side // 4).all()

    def run(image):
        # What depends on its pixel alone is the same in tiles.
        value = image[..., :1].astype(np.float32) / 255
        return {"probabilities": np.concatenate([1 - value, value], axis=-1)}

    for shape in ((20, 20, 1), (57, 33, 1), (5, 90, 1)):
        image = random.integers(0, 256, shape).astype("uint8")
        np.testing.assert_allclose(predict(run, image, 16, 24)[..., 1], image[..., 0] / 255, atol=1e-6)
        np.testing.assert_allclose(in_tiles(run, (16, 24))(image)[..., 1], image[..., 0] / 255, atol=1e-6)


def test_the_programs_name_what_they_need_and_nothing_of_ours():
    folder = pathlib.Path(export_module.serving.__file__).parent
    for path in folder.glob("[a-z]*.py"):
        text = path.read_text(encoding="utf-8")
        assert "pip install" in text and (path.name in text or path.stem == "postprocess")
        assert not {"import trainer", "from trainer", "import configs", "from configs", "import losses"} & {
            *text.split("\n")
        }
