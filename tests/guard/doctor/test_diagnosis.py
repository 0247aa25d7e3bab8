"""The diagnosis as text, its lines and replacements, the callback, and refused arguments."""

import importlib.util
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.guard.doctor.making import groups, moons
from trainer.guard import Doctor, diagnose
from trainer.guard.doctor import DoesNotLearnError

PROGRAM = """
import keras
from keras import layers

def build():
    model = keras.Sequential([
        keras.Input((2,)),
        layers.Dense(24, activation="relu", name="hidden"),
        layers.Dense(1, activation="softmax", name="score"),
    ])
    return model

def run(diagnose, x, y):
    optimizer = keras.optimizers.Adam(learning_rate=0.02)
    return diagnose(build(), "binary_crossentropy", optimizer, x, y, batch_size=32, epochs=15, seconds=60)
"""


def loaded(path, source):
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exchanged(replacement):
    lines = pathlib.Path(replacement.file).read_text(encoding="utf-8").splitlines()
    lines[replacement.first_line - 1 : replacement.last_line] = replacement.code.splitlines()
    return "\n".join(lines)


def test_the_text_counts_first_shows_the_line_and_says_what_to_write(tmp_path):
    keras.utils.set_random_seed(1)
    module = loaded(tmp_path / "spam.py", PROGRAM)
    diagnosis = module.run(diagnose, *moons())
    (finding,) = diagnosis.findings
    assert finding.file == str(tmp_path / "spam.py") and finding.code.startswith('layers.Dense(1, activation="softmax"')
    text = str(diagnosis)
    assert text.startswith("1 thing keeps this model from learning.\n\n1. A softmax over one unit is always 1 — score")
    assert "'score' runs over an axis of size 1" in " ".join(text.split())
    assert f'>  {finding.line} |     layers.Dense(1, activation="softmax", name="score"),' in text
    assert "keras.layers.Dense(1, …, activation='sigmoid')" in text
    assert "Tried on a copy, and it helps" in text
    assert "\x1b[" not in text and "\x1b[" in diagnosis.render(color=True)
    assert json.loads(json.dumps(diagnosis.to_dict()))["findings"][0]["where"] == ["score"]


def test_a_replacement_mends_the_program(tmp_path):
    keras.utils.set_random_seed(1)
    replacement = loaded(tmp_path / "before.py", PROGRAM).run(diagnose, *moons()).findings[0].replacement
    assert replacement.code.strip() == 'layers.Dense(1, activation="sigmoid", name="score"),'
    again = loaded(tmp_path / "after.py", exchanged(replacement)).run(diagnose, *moons())
    assert again.ok, f"\n{again}"


def test_a_learning_rate_is_replaced_where_the_optimizer_is_made(tmp_path):
    keras.utils.set_random_seed(1)
    source = PROGRAM.replace('"softmax"', '"sigmoid"').replace("0.02", "1e-6")
    diagnosis = loaded(tmp_path / "slow.py", source).run(diagnose, *moons())
    (finding,) = diagnosis.findings
    assert finding.kind == "learning_rate_too_low" and finding.where == "optimizer.learning_rate"
    assert finding.replacement.code == "    optimizer = keras.optimizers.Adam(learning_rate=0.005)"


def compiled(activation="relu", loss="sparse_categorical_crossentropy"):
    last = layers.Dense(5, activation=activation, name="class")
    model = keras.Sequential([keras.Input((6,)), layers.Dense(12, activation="relu"), last])
    model.compile("adam", loss, jit_compile=False)
    return model


def test_the_callback_warns_stops_or_keeps_silent(capsys):
    x, y = groups(96)
    doctor = Doctor(x, y)
    compiled().fit(x, y, verbose=0, callbacks=[doctor])
    assert doctor.diagnosis.findings[0].kind == "relu_output"
    assert "A ReLU stands before a cross-entropy — class" in capsys.readouterr().err
    with pytest.raises(DoesNotLearnError, match="1 thing keeps this model from learning"):
        compiled().fit(x, y, verbose=0, callbacks=[Doctor(x, y, stop=True)])
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    doctor = Doctor(data)
    compiled("softmax").fit(data, verbose=0, callbacks=[doctor])
    assert doctor.diagnosis.ok and capsys.readouterr().err == ""


def test_static_depth_builds_nothing():
    x, y = groups(96)
    model = keras.Sequential([layers.Dense(12, activation="relu"), layers.Dense(5, activation="softmax")])
    assert diagnose(model, "sparse_categorical_crossentropy", "adam", x, y + 1, depth="static").ok
    assert not model.built
    diagnosis = diagnose(model, "sparse_categorical_crossentropy", "adam", x, y + 1, depth="batch")
    assert diagnosis.findings[0].kind == "label_range" and not model.built


def test_a_loss_that_does_not_run_is_told_with_shapes():
    x, y = groups(96)
    diagnosis = diagnose(compiled("softmax"), "mse", "adam", x, np.zeros((96, 3), "float32") + y[:, None] / 9)
    (finding,) = diagnosis.findings
    assert finding.kind == "does_not_run" and "(96, 3)" in finding.evidence and "(96, 5)" in finding.evidence


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"loss": None}, "needs a loss"),
        ({"x": None}, "needs data"),
        ({"depth": "deep"}, "'static', 'batch', 'steps'"),
        ({"model": "unet"}, "looks at a keras.Model"),
        ({"y": np.zeros(3)}, "different numbers of examples: 3, 96"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(arguments, says):
    x, y = groups(96)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5)])
    given = {"model": model, "loss": "mse", "optimizer": "sgd", "x": x, "y": y, **arguments}
    with pytest.raises(ValueError, match=says):
        diagnose(**given)
