"""Exports are loaded again, as a user would, and compared with the model; a wrong one is not kept."""

import importlib.util
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config, Data, Evaluate, Model
from trainer.errors import UserError
from trainer.export import export as export_module
from trainer.export.errors import ExportError
from trainer.export.export import export

# The tests load LiteRT files with the interpreter in TensorFlow, which advises a package of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")

CONFIG = Config(
    data=Data(classes=("a", "b", "c")),
    model=Model(depth=2),
    augment=Augment(crop=(16, 24)),
)


def small_unet(outputs=3, depth=2):
    """Down, up, a skip connection and batch statistics away from their start."""
    image = keras.Input([None, None, 3])
    x = first = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    for _ in range(depth):
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(x)
    norm = keras.layers.BatchNormalization()
    x = keras.layers.UpSampling2D(2**depth)(norm(x))
    model = keras.Model(image, keras.layers.Conv2D(outputs, 1)(keras.layers.Concatenate()([first, x])))
    norm.moving_mean.assign([0.3, -0.2, 0.1, 0.4])
    model.size_multiples = (2**depth, 2**depth)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    keras.utils.set_random_seed(1)
    model, folder = small_unet(), tmp_path_factory.mktemp("export")
    lines = export(model, CONFIG, str(folder), ("saved_model", "litert"))
    return model, folder, lines


def picture(*shape):
    return np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)


def test_saved_model_says_the_shape_of_an_image_without_a_batch(exported):
    _, folder, _ = exported
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[16,24,3\] is not .* \[\?,\?,\?,3\]") as raised:
        loaded.signatures["serving_default"](image=tf.constant(picture(16, 24, 3)))
    assert "image_is_batch_height_width_channels" in str(raised.value)


def test_exporting_says_nothing_on_standard_error(tmp_path, capfd):
    export(small_unet(), CONFIG, str(tmp_path), ("litert",))
    assert capfd.readouterr().err == ""


def test_saved_model_takes_any_size_and_batch(exported):
    model, folder, _ = exported
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    for shape in [(1, 16, 16, 3), (3, 21, 30, 3), (1, 1, 2, 3)]:
        image = picture(*shape)
        result = loaded.signatures["serving_default"](image=tf.constant(image))
        assert result["probabilities"].shape == (*shape[:3], 3)
        assert result["class_ids"].dtype == tf.int32
        assert (result["class_ids"].numpy() == result["probabilities"].numpy().argmax(-1)).all()
        np.testing.assert_allclose(result["probabilities"].numpy().sum(-1), 1.0, atol=1e-5)
        if shape[1] % 4 == 0:
            expected = tf.nn.softmax(model(image.astype(np.float32), training=False))
            np.testing.assert_allclose(result["probabilities"], expected, atol=1e-5)


def test_litert_takes_the_crop(exported):
    model, folder, _ = exported
    run = tf.lite.Interpreter(str(folder / "model.tflite")).get_signature_runner("serving_default")
    image = picture(1, 16, 24, 3)
    result = run(image=image)
    np.testing.assert_allclose(
        result["probabilities"], tf.nn.softmax(model(image.astype(np.float32), training=False)), atol=1e-5
    )
    assert result["class_ids"].shape == (1, 16, 24)


def test_the_report_and_the_description(exported):
    _, folder, lines = exported
    assert [line.split()[0] for line in lines[:-1]] == ["saved_model", "litert"]
    assert all("equal to the model within" in line for line in lines[:-1])
    assert lines[-1].startswith("Nothing was scored")
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert description["classes"] == ["a", "b", "c"]
    assert description["litert"]["shape"] == [1, 16, 24, 3]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("model.json", "model.tflite", "saved_model"),
        "serve.py",
    ]


def test_one_logit_becomes_two_probabilities(tmp_path):
    config = Config(model=Model(depth=2, outputs="sigmoid"), evaluate=Evaluate(tile=(20, 20)))
    model = small_unet(outputs=1)
    export(model, config, str(tmp_path), ("litert",), examples=[picture(9, 50, 3)])
    run = tf.lite.Interpreter(str(tmp_path / "model.tflite")).get_signature_runner("serving_default")
    image = picture(1, 20, 20, 3)
    result = run(image=image)
    logits = model(image.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(result["probabilities"][..., 1:], 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert (result["class_ids"] == (result["probabilities"][..., 1] > 0.5)).all()


def test_a_wrong_export_is_not_kept_and_the_earlier_one_is(exported, tmp_path, monkeypatch):
    model, _, _ = exported
    export(model, CONFIG, str(tmp_path), ("saved_model",))
    before = (tmp_path / "saved_model" / "fingerprint.pb").read_bytes()
    right = export_module.saved_model

    def of_another_model(model, *rest):
        other = keras.models.clone_model(model)
        other.set_weights([weight + 0.1 for weight in model.get_weights()])
        return right(other, *rest)

    monkeypatch.setattr(export_module, "saved_model", of_another_model)
    with pytest.raises(ExportError, match=r"saved_model is not the model: .* differs in a probability by") as error:
        export(model, CONFIG, str(tmp_path), ("saved_model",))
    assert error.value.exit_code == 1
    assert (tmp_path / "saved_model" / "fingerprint.pb").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_litert_cannot_hold_is_said_and_the_rest_is_done(tmp_path):
    image = keras.Input([None, None, 3])
    half = keras.layers.Conv2D(3, 1, dtype="mixed_bfloat16")(image)
    model = keras.Model(image, keras.layers.Activation("linear", dtype="float32")(half))
    with pytest.raises(ExportError) as error:
        export(model, CONFIG, str(tmp_path), ("litert", "saved_model"))
    message = str(error.value)
    assert message.startswith("The model cannot be converted to litert: ")
    assert "Its layers compute in bfloat16" in message and "--precision=float32" in message
    assert "Exported: saved_model" in message and (tmp_path / "saved_model").is_dir()
    assert len(message) < 1000 and not (tmp_path / "model.tflite").exists()


def test_formats_are_checked_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        export(None, CONFIG, str(tmp_path / "out"), ("saved_model", "tensorrt", "onnx"))
    assert "There is no export format 'tensorrt'; there are saved_model, litert, " in str(error.value)
    assert "pip install tf2onnx onnx onnxruntime" in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tf2onnx", "onnx", "onnxruntime")),
    reason="ONNX's packages are not installed: pip install tf2onnx onnx onnxruntime",
)
def test_onnx_takes_any_size_and_batch(exported, tmp_path):
    import onnxruntime

    model, _, _ = exported
    export(model, CONFIG, str(tmp_path), ("onnx",))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    image = picture(2, 21, 30, 3)
    result = dict(zip(names, session.run(names, {"image": image}), strict=True))
    assert result["class_ids"].shape == (2, 21, 30)
    assert (result["class_ids"] == result["probabilities"].argmax(-1)).all()
