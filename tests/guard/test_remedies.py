"""Advice: the user's own statement with the op replaced, which must be Python, and names that must exist."""

import ast

import keras
import pytest
import tensorflow as tf

from trainer.guard.words import new_names as names
from trainer.guard.words import op_advice
from trainer.guard.words.finding import CAUSES, Finding
from trainer.guard.words.remedies import advise
from trainer.guard.words.sentences import explain_cause


def advice(cause, op_type, statement, tmp_path, kind="missing", line=1):
    file = tmp_path / "code.py"
    file.write_text(statement + "\n")
    return Finding(kind, cause, ["a/kernel"], op_type=op_type, file=str(file), line=line).advice


def code_of(text):
    return [line[4:] for line in text.splitlines() if line.startswith("    ")]


@pytest.mark.parametrize(
    "op_type, statement, wanted",
    [
        ("ArgMax", "ids = tf.argmax(logits, -1)", "ids = tf.nn.softmax(logits, axis=-1)"),
        ("ArgMax", "ids = tf.cast(tf.argmax(logits, axis=-1), tf.float32)", "ids = tf.nn.softmax(logits, axis=-1)"),
        ("Greater", "m = tf.cast(p > 0.5, tf.float32)", "m = p"),
        ("Greater", "m = tf.cast(tf.greater(p, 0.5), tf.float32)", "m = p"),
        ("GreaterEqual", "m = (p >= t + 1.0) * 2", "m = tf.sigmoid((p - (t + 1.0)) / 0.1) * 2"),
        ("Less", "gate = net(x) < 0", "gate = tf.sigmoid(net(x) / 0.1)"),
        ("Round", "return tf.reduce_mean(tf.round(p) * w)", "return tf.reduce_mean(p * w)"),
        ("Round", "q = keras.ops.round(4 * x) / 4", "q = (4 * x) / 4"),
        ("Round", "q = tf.round(x)", "q = x + tf.stop_gradient(tf.round(x) - x)"),
        ("Floor", "q = tf.floor(a + b)", "q = a + b"),
        ("FloorDiv", "cell = pos // 8.0", "cell = pos"),
        ("StopGradient", "p = tf.stop_gradient(y_pred)", "p = y_pred"),
    ],
)
def test_the_users_own_statement_is_rewritten(op_type, statement, wanted, tmp_path):
    cause = "stop_gradient" if op_type == "StopGradient" else "non_differentiable_op"
    lines = [line.split("  # ")[0] for line in code_of(advice(cause, op_type, statement, tmp_path))]
    assert wanted in lines
    for line in lines:
        ast.parse(line)


def test_long_operand_gets_a_name_of_its_own(tmp_path):
    statement = "hard = tf.round(tf.clip_by_value(y_pred * scale, 0.0, 1.0))"
    lines = code_of(advice("non_differentiable_op", "Round", statement, tmp_path))
    assert "soft = tf.clip_by_value(y_pred * scale, 0.0, 1.0)" in lines
    assert "hard = soft + tf.stop_gradient(tf.round(soft) - soft)" in lines


@pytest.mark.parametrize("op_type, step", [("ArgMax", "tf.argmax({}, -1)"), ("Greater", "{} > 0.5")])
def test_what_is_a_probability_is_not_made_one_again(op_type, step, tmp_path):
    soft = "tf.nn.softmax(z)"
    assert code_of(advice("non_differentiable_op", op_type, f"h = {step.format(soft)}", tmp_path))[0] == f"h = {soft}"


def test_labels_are_left_alone(tmp_path):
    statement = "loss = tf.reduce_mean(tf.sign(y_true) * tf.sign(y_pred))"
    lines = code_of(advice("zero_gradient", "Sign", statement, tmp_path, kind="zero"))
    assert "loss = tf.reduce_mean(tf.sign(y_true) * tf.tanh(5.0 * y_pred))" in lines


def test_statement_over_several_lines(tmp_path):
    statement = "ids = tf.argmax(\n    model(x, training=True),\n    axis=-1,\n)"
    text = advice("non_differentiable_op", "ArgMax", statement, tmp_path)
    assert "tf.nn.softmax(model(x, training=True), axis=-1)" in text


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
    assert text.startswith("Cast the labels to the type of the prediction")
    assert "y_true = tf.cast(y_true, y_pred.dtype)" in text and "y_pred = y_pred" not in text


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
    told = {name: names.keras_replacement(name) for name in lost}
    for name, new in told.items():
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
        assert told[name]


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_a_sentence_and_advice(cause):
    kind = {"zero_gradient": "zero", "nan_gradient": "nonfinite", "untracked_variable": "untracked"}.get(
        cause, "missing"
    )
    for op_type in (None, "Cast"):
        finding = Finding(kind, cause, ["a/kernel", "a/bias"], op_type=op_type)
        assert explain_cause(finding)[0].isupper() and not explain_cause(finding).endswith(".")
        assert advise(finding).strip()


@pytest.mark.parametrize("table", ["OPS", "ZERO", "NAN"])
def test_code_in_the_tables_is_python(table):
    for op_type, entry in getattr(op_advice, table).items():
        code = entry[-1]
        filled = [line.lstrip("=") for line in code]
        for mark, value in (("{x}", "x"), ("{y}", "y"), ("{difference}", "(x - y)"), ("{expr}", "f(x)")):
            filled = [line.replace(mark, value) for line in filled]
        assert ast.parse("\n".join(filled)), op_type


def test_every_op_of_the_tables_exists():
    known = {name for name in dir(tf.raw_ops) if not name.startswith("_")}
    inner = {"PyFuncStateless", "EagerPyFunc", "PyFunc", "NumpyFunction"}  # made by Python, not in raw_ops
    for table in (op_advice.OPS, op_advice.ZERO, op_advice.NAN):
        assert not set(table) - known - inner
