"""Advice in words, and names that must exist."""

import keras
import pytest
import tensorflow as tf

from trainer.guard.words import new_names as names
from trainer.guard.words import op_advice
from trainer.guard.words.causes import CAUSES
from trainer.guard.words.finding import Finding
from trainer.guard.words.remedies import advise
from trainer.guard.words.sentences import explain_cause


def advice(cause, op_type, statement, tmp_path, kind="missing", line=1):
    file = tmp_path / "code.py"
    file.write_text(statement + "\n", encoding="utf-8")
    return Finding(kind, cause, ["a/kernel"], op_type=op_type, file=str(file), line=line).advice


def code_of(text):
    return [line[4:] for line in text.splitlines() if line.startswith("    ")]


def test_without_source_the_words_remain():
    finding = Finding("missing", "non_differentiable_op", ["a"], op_type="ArgMax")
    assert "softmax" in finding.advice and "{x}" not in finding.advice
    assert not any(line.startswith("=") for line in code_of(finding.advice))


def test_unknown_op_gets_general_advice():
    finding = Finding("missing", "non_differentiable_op", ["a"], op_type="MyFusedOp")
    assert "MyFusedOp" in finding.advice and "tf.custom_gradient" in finding.advice
    assert explain_cause(finding) == "MyFusedOp has no gradient"


def test_cast_says_cast_the_labels(tmp_path):
    text = advice("integer_cast", "Cast", "y_pred = tf.cast(y_pred, tf.int32)", tmp_path)
    assert "cast the labels to the type of the prediction instead" in text and not code_of(text)


@pytest.mark.parametrize(
    "statement, wanted",
    [
        ("e = np.mean((p - y) ** 2)", "np.mean  ->  tf.reduce_mean"),
        ("n = np.linalg.norm(x)", "np.linalg.norm  ->  tf.linalg.norm"),
        ("s = np.log(np.exp(x).sum())", "np.exp  ->  tf.exp"),
        ("c = np.concatenate([a, b])", "np.concatenate  ->  tf.concat"),
        ("d = scipy.ndimage.distance_transform_edt(m)", "no counterpart: apply it to the labels"),
        ("p = model(x).numpy()", "prediction.numpy()  ->  prediction"),
        ("return float(loss)", "float(loss)  ->  loss"),
        ("return tf.constant(total)", "tf.constant(value)  ->  value"),
    ],
)
def test_numpy_gets_the_name_it_has_in_tensorflow(statement, wanted, tmp_path):
    assert wanted in advice("left_tensorflow", None, statement, tmp_path)


@pytest.mark.parametrize(
    "name", ["mean", "sum", "exp", "log", "abs", "sqrt", "max", "std", "where", "tanh", "linalg.norm"]
)
def test_tensorflow_names_exist(name):
    new = names.tensorflow_name(name)
    place = {"tf": tf, "keras": keras}[new.split(".")[0]]
    for part in new.split(".")[1:]:
        place = getattr(place, part)
    assert callable(place)


def test_names_without_a_counterpart_are_not_made_up():
    assert names.tensorflow_name("convolve_something") is None
    assert names.keras_replacement("frobnicate") is None


@pytest.mark.parametrize(
    "old, new",
    [
        ("flatten", "keras.ops.reshape(x, [-1])"),
        ("sum", "keras.ops.sum(x)"),
        ("mean", "keras.ops.mean(x)"),
        ("epsilon", "keras.config.epsilon()"),
        ("round", "keras.ops.round(x)"),
        ("sigmoid", "keras.ops.sigmoid(x)"),
    ],
)
def test_old_keras_names(old, new):
    assert names.keras_replacement(old) == new


def test_every_lost_keras_name_has_a_new_one_that_exists():
    import tensorflow.keras.backend as old

    lost = [n for n in dir(old) if not n.startswith("_") and not hasattr(keras.backend, n)]
    assert len(lost) > 80
    replacements = {name: names.keras_replacement(name) for name in lost}
    for name, new in replacements.items():
        if new and new.startswith(("keras.", "tf.")):
            place = {"keras": keras, "tf": tf}[new.split(".")[0]]
            for part in new.split("(")[0].split(".")[1:]:
                place = getattr(place, part)
            assert callable(place), f"{name}: {new}"
    for name in (
        "sum",
        "flatten",
        "mean",
        "square",
        "clip",
        "cast",
        "log",
        "exp",
        "abs",
        "maximum",
        "binary_crossentropy",
    ):
        assert replacements[name]


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_a_sentence_and_advice(cause):
    kind = {"zero_gradient": "zero", "nan_gradient": "nonfinite", "untracked_variable": "untracked"}.get(
        cause, "missing"
    )
    for op_type in (None, "Cast"):
        finding = Finding(kind, cause, ["a/kernel", "a/bias"], op_type=op_type)
        assert explain_cause(finding)[0].isupper() and not explain_cause(finding).endswith(".")
        assert advise(finding).strip()


def test_every_op_of_the_tables_exists():
    known = {name for name in dir(tf.raw_ops) if not name.startswith("_")}
    inner = {"PyFuncStateless", "EagerPyFunc", "PyFunc", "NumpyFunction"}  # made by Python, not in raw_ops
    for table in (op_advice.OPS, op_advice.ZERO, op_advice.NAN):
        assert not set(table) - known - inner
