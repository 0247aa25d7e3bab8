"""Whole runs on volumes: what holds of images holds of them. Guard, losses, replicas, micro-batches, resume, export."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from configs.schema import Augment, Checkpoint, Config, Data, Evaluate, Loss, Model, Optimizer, Train
from tests.data.volumes_made import AFFINE, SHAPE, case, nnunet, save
from tests.stepping import replica_runs
from tests.stepping.test_replicas import KeepsGradients
from trainer import Run
from trainer.checkpoints import folder as checkpoints
from trainer.errors import UserError
from trainer.models import build_model
from trainer.prediction import postprocessing
from trainer.prediction.postprocessing import Parts, PostProcessing

nibabel = pytest.importorskip("nibabel")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = nnunet(tmp_path_factory.mktemp("volumes"), cases=5)
    for name, numbers in (("train", (0, 1, 2)), ("val", (3, 4))):
        with open(f"{root}/{name}.txt", "w", encoding="utf-8") as file:
            file.writelines(f"case_{number:02}\n" for number in numbers)
    return root


def config_of(data, **model) -> Config:
    return Config(
        name="volumes",
        data=Data(source="volumes", path=data),
        augment=Augment(crop=(8, 8, 8), rotate=10.0, noise=0.1, foreground=0.5),
        model=Model(width=2, depth=1, normalization="batch", input_scaling="none", dropout=0.2, **model),
        optimizer=Optimizer(ema_decay=0.5),
        train=Train(length="4 steps", batch_size=2, log_every="2 steps"),
        evaluate=Evaluate(every="4 steps", panels=1),
        checkpoint=Checkpoint(every="2 steps", keep=9),
    )


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    run = Run(config_of(data), workdir=str(tmp_path_factory.mktemp("run") / "a"))
    run.train()
    return run


def ending(workdir):
    saved = checkpoints.find(str(workdir), "latest")
    with open(os.path.join(workdir, "evaluation.json"), encoding="utf-8") as file:
        return saved.step, {name: array.tobytes() for name, array in saved.arrays.items()}, json.load(file)


def test_a_run_that_goes_on_from_its_middle_ends_in_the_same_bits(finished, tmp_path):
    workdir = tmp_path / "b"
    shutil.copytree(finished.workdir, workdir)
    # As a kill after the second step leaves it.
    shutil.rmtree(checkpoints.step_folder(str(workdir), 4))
    os.remove(workdir / "evaluation.json")
    Run(finished.config, workdir=str(workdir)).train()
    assert ending(workdir) == ending(finished.workdir)


def test_scores_are_at_the_images_own_spacing(finished):
    scores = finished.evaluate()
    assert set(scores.volumes) == {"background", "liver", "tumour"} and scores.images == 2
    assert scores.volumes["liver"].label_volume_ml == pytest.approx(5**3 * 3 / 1000, rel=0.35)
    content = scores.to_dict()
    assert content["volumes"]["liver"]["one_sided"] in (0, 1, 2) and sum(map(sum, content["confusion"])) == 2 * np.prod(
        SHAPE
    )
    assert "surface_dice/liver" in scores.scalars("") or np.isnan(scores.volumes["liver"].surface_dice)
    assert "HD95 mm" in scores.table()
    surfaces = [scores.volumes[name].surface_dice for name in scores.scored]
    assert scores.score("surface_dice") == pytest.approx(np.nanmean(surfaces))
    # As an own metric sees them.
    seen = []

    def thickness(label, prediction, spacing):
        seen.append((label.shape, prediction.shape, spacing))
        return 1.0

    Run(finished.config, workdir=finished.workdir, metrics={"thickness": thickness}).evaluate()
    # The file's y, x and z are depth, height and width.
    assert seen == [((16, 14, 10), (16, 14, 10), (1.5, 1.0, 2.0))] * 2


def test_predictions_lie_where_their_images_do(finished, data, tmp_path):
    save(f"{tmp_path}/in/deep/odd.nii.gz", case(7, shape=(9, 20, 11))[0])
    (tmp_path / "in" / "broken.nii.gz").write_bytes(b"")
    failures = finished.predict([f"{data}/imagesTr", f"{tmp_path}/in"], str(tmp_path / "out"))
    assert [os.path.basename(failure.path) for failure in failures] == ["broken.nii.gz"]
    assert "is empty (0 bytes)" in str(failures[0])
    names = sorted(os.listdir(tmp_path / "out" / "masks"))
    assert names == [*(f"case_{n:02}.nii.gz" for n in range(5)), "deep"]
    for name, shape in (("case_03.nii.gz", SHAPE), ("deep/odd.nii.gz", (9, 20, 11))):
        mask = nibabel.load(tmp_path / "out" / "masks" / name)
        np.testing.assert_array_equal(mask.affine, AFFINE)
        assert mask.shape == shape and mask.get_data_dtype() == np.uint8
    # What prediction writes is what evaluation compares.
    written = nibabel.load(tmp_path / "out" / "masks" / "case_03.nii.gz").get_fdata()
    counts = np.bincount(written.ravel().astype(int), minlength=3)
    columns = []
    Run(
        finished.config,
        workdir=finished.workdir,
        metrics={"m": lambda label, found, classes: columns.append(found) or 0.0},
    ).evaluate()
    np.testing.assert_array_equal(np.bincount(columns[0].ravel(), minlength=3), counts)
    with Image.open(tmp_path / "out" / "overlays" / "case_03.png") as picture:
        assert picture.size[1] > 2 * 384


def test_panels_show_three_planes_through_the_largest_structure(finished):
    from trainer.reporting.volume_panels import largest_structure, volume_planes

    label = np.zeros((20, 20, 20), np.uint8)
    label[2:4, 2:4, 2:4], label[10:16, 12, 5:9] = 1, 2
    assert largest_structure(label > 0) == (10, 12, 5)
    cut = volume_planes(
        np.random.default_rng(0).normal(size=(20, 20, 20, 1)),
        label,
        label,
        spacing=(2, 1, 1),
        box=None,
        void_id=255,
        side=40,
    )
    # 20 x 20 mm, then 40 x 20 mm twice; the longer side over 40 pixels, one under the other.
    assert cut["image"].shape == (40 + 40 + 40 + 2 * 4, 40, 3) and cut["label"].shape == cut["image"].shape[:2]
    assert set(np.unique(cut["prediction"])) == {0, 2, 255}


def test_export_takes_volumes_of_any_size_and_says_what_they_are(finished, tmp_path):
    lines = finished.export(str(tmp_path))
    assert [line.split()[0] for line in lines] == ["saved_model"] and "equal to the model" in lines[0]
    with open(tmp_path / "model.json", encoding="utf-8") as file:
        about = json.load(file)
    assert about["input"] == {"name": "image", "dtype": "float32", "shape": ["batch", "depth", "height", "width", 1]}
    assert about["volumes"]["spacing_mm"] == [1.5, 1.0, 2.0] and about["volumes"]["normalize"] == ["z_score"]
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    image = np.random.default_rng(0).normal(size=(2, 5, 9, 6, 1)).astype("float32")
    assert loaded.serve(tf.constant(image))["class_ids"].shape == (2, 5, 9, 6)
    for name in ("litert", "litert_int8"):
        with pytest.raises(UserError, match=f"to {name}: LiteRT has no pooling along three axes.* in down0_pool"):
            finished.export(str(tmp_path), (name,))


def test_the_guard_names_the_line_that_cuts_the_gradient_of_volumes(data, tmp_path):
    def cut(input_channels, outputs):
        import keras

        image = keras.Input((None, None, None, input_channels))
        x = keras.layers.Conv3D(2, 3, padding="same", name="first")(image)
        x = keras.layers.Lambda(lambda t: tf.round(t), name="rounded")(x)  # the line
        return keras.Model(image, keras.layers.Conv3D(outputs, 1)(x))

    with pytest.raises(UserError) as raised:
        Run(config_of(data), workdir=str(tmp_path), model=cut).train()
    for words in ("2 of 4 trainable variables", "Rounding (Round)", "tf.round(t)", "first/.*"):
        assert words in str(raised.value)


def batches(steps: int) -> list[dict]:
    random = np.random.default_rng(0)
    made = []
    for _ in range(steps):
        image = random.normal(size=(replica_runs.BATCH, 8, 8, 8, 1)).astype("float32")
        label = (image[..., 0] > 0.5).astype("int32")
        label[::3, :2] = 255
        made.append({"image": image, "label": label})
    return made


@pytest.mark.parametrize("normalization", ["batch", "instance"])
def test_replicas_and_micro_batches_mean_the_same(normalization):
    def gradients(replicas, accumulate):
        config = replica_runs.tiny(
            data=dict(channels=1),
            augment=dict(crop=(8, 8, 8)),
            model=dict(
                width=2, normalization=normalization, input_scaling="none", residual=True, upsampling="transpose"
            ),
            train=dict(accumulate=accumulate),
            optimizer=dict(clip_norm=0.0),
        )
        made = replica_runs.make(config, replicas, optimizer=KeepsGradients(1.0)).run(batches(1))
        return {v.path: v.numpy() for v in made.state.trainable}

    whole = gradients(1, 1)
    # Batch statistics are a micro-batch's, so that micro-batches are compared where there are none.
    parts = gradients(2, 1) if normalization == "batch" else gradients(1, 2)
    largest = max(np.abs(gradient).max() for gradient in whole.values())
    assert largest > 1e-3
    for path, gradient in whole.items():
        # A bias's gradient is one float32 sum over all voxels.
        assert np.abs(gradient - parts[path]).max() < 1e-5 * largest, path


def test_deep_supervision_and_thick_slices(data):
    config = config_of(data)
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, classes=("a", "b"), channels=1, spacing=(4.0, 1.0, 1.0)),
        augment=dataclasses.replace(config.augment, crop=(8, 32, 32)),
        model=Model(width=2, depth=3, normalization="instance", input_scaling="none", deep_supervision=True),
        loss=Loss(name="dice+cross_entropy"),
    )
    from configs.reading.levels import levels

    assert levels(config).strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert levels(config).kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))
    outputs = build_model(config)(np.zeros((1, 8, 32, 32, 1), "float32"))
    assert [tuple(y.shape) for y in outputs] == [(1, 8, 32, 32, 2), (1, 8, 16, 16, 2)]
    from trainer.stepping.objective import build_objective

    label = tf.constant(np.random.default_rng(0).integers(0, 2, (1, 8, 32, 32)), tf.int32)
    terms = build_objective(config, 2)(label, outputs)
    assert set(terms) == {"dice", "cross_entropy"} and all(np.isfinite(float(t)) for t in terms.values())


def test_volumes_that_are_arrays(tmp_path):
    from configs.shapes3d import get_config

    config = get_config()
    config = dataclasses.replace(
        config,
        augment=dataclasses.replace(config.augment, crop=(8, 8, 8), foreground=1.0),
        model=dataclasses.replace(config.model, width=2, depth=1),
        train=Train(length="1 steps", batch_size=2),
        data=Data(source="configs.shapes3d:volumes"),
    )
    run = Run(config, workdir=str(tmp_path / "a"))
    assert run.data.classes == ("class_0", "class_1", "class_2") and len(run.data.train) == 24
    volumes = [
        (np.zeros((9, 8, 10, 2), np.uint8), np.arange(720, dtype=np.uint8).reshape(9, 8, 10) % 2) for _ in range(3)
    ]
    data = Run(config, workdir=str(tmp_path / "b"), data=volumes).data
    assert data.channels == 2 and len(data.train) == 2 and len(data.validation) == 1
    example = data.train.load(0)
    assert example.image.shape == (9, 8, 10, 2) and example.label.dtype == np.int32
    found = run.predict(np.zeros((2, 9, 10, 11, 1), "float32"), checkpoint=None)
    assert found.shape == (2, 9, 10, 11) and found.dtype == np.int32
    # Of arrays neither spacing nor intensities are known.
    for name in ("a.nii.gz", "a.nii"):
        save(f"{tmp_path}/in/{name}", case(7, shape=(9, 10, 11))[0])
    assert run.predict([f"{tmp_path}/in"], str(tmp_path / "out"), checkpoint=None) == []
    assert sorted(os.listdir(tmp_path / "out" / "masks")) == ["a_nii.nii", "a_nii_gz.nii.gz"]


def test_the_check_looks_through_volumes(data):
    from trainer.data import check_data

    found = check_data(config_of(data))
    assert found.ok and "train: 3 volumes, 10 … 10 voxels wide, 14 … 14 high and 16 … 16 deep" in found.text()


def test_post_processing_is_by_mm3_and_goes_into_scores_and_files(finished, data, tmp_path, capsys):
    workdir = tmp_path / "a"
    shutil.copytree(finished.workdir, workdir)
    run = Run(finished.config, workdir=str(workdir))
    plain = run.evaluate()
    made = PostProcessing(classes=tuple(run.config.data.classes), rank=3, parts={"liver": Parts(smallest=1e6)})
    postprocessing.save(str(workdir), made)
    scores = run.evaluate()
    assert scores.volumes["liver"].volume_ml == 0.0 and scores.dice["liver"] == 0.0
    assert scores.without_postprocessing["dice/liver"] == plain.dice["liver"]
    everything = run.evaluate(data=data)
    assert everything.images == 5 and everything.dice["liver"] == 0.0
    assert run.predict([f"{data}/imagesTr/case_03_0000.nii.gz"], str(tmp_path / "out")) == []
    mask = np.asarray(nibabel.load(tmp_path / "out" / "masks" / "case_03.nii.gz").dataobj)
    assert 1 not in mask
    capsys.readouterr()
    run.postprocess()
    said = capsys.readouterr().out
    assert "Dice on 2 validation volumes" in said and "without parts below 4 mm³" in said and "threshold" not in said
