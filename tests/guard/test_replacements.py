"""Replacements: lines that were run before they are offered, and helped."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.guard.test_cases import gradients_of, loaded, state_of
from trainer.guard import explain

HEAD = """
import keras
import numpy as np
import tensorflow as tf
K = keras.ops

EXPECT = {}
r = np.random.RandomState(0)


def build():
    net = keras.layers.Dense(3, "MORE", name="net")
    net.build((None, 4))
    x, y = tf.constant(r.rand(6, 4), tf.float32), tf.constant(r.rand(6, 3), tf.float32)
    ids = tf.constant(r.randint(0, 3, 6))

    def forward_loss():
        p = net(x)
"""
TAIL = """

    return forward_loss, net.trainable_variables
"""


def case(tmp_path, body, activation="linear", name="mistake"):
    """The module with this body of a loss, and its path."""
    path = tmp_path / f"{name}.py"
    lines = "".join(f"        {line}\n" for line in body.split("\n"))
    path.write_text(HEAD.replace("MORE", activation) + lines + TAIL, encoding="utf-8")
    return loaded(path), path


def replaced(tmp_path, path, replacement):
    """The module with the offered lines in place of its own, from another file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    new = lines[: replacement.first_line - 1] + replacement.code.splitlines() + lines[replacement.last_line :]
    other = tmp_path / "mended.py"
    other.write_text("\n".join(new), encoding="utf-8")
    return loaded(other)


MISTAKES = {
    "threshold": (
        "hard = tf.cast(p > 0.5, tf.float32)\nreturn tf.reduce_mean(hard * y)",
        "tf.sigmoid((p - 0.5) / 0.1)",
    ),
    "step": ("z = tf.cast(p < 2.0, tf.float32)\nreturn tf.reduce_mean(z * y)", "tf.sigmoid((2.0 - p) / 0.1)"),
    "choice": ("return tf.reduce_mean(tf.where(p > 0.5, 1.0, 0.0) * y)", "tf.sigmoid((p - 0.5) / 0.1)"),
    "choice of two": ("z = tf.where(p > 0.0, y, 0.5)\nreturn tf.reduce_mean(z)", "z = tf.sigmoid(p / 0.1) * y"),
    "one-hot": ("z = tf.one_hot(tf.argmax(p, -1), 3)\nreturn tf.reduce_mean(z * y)", "z = tf.nn.softmax(p, axis=-1)"),
    "index": ("i = tf.cast(tf.argmax(p, axis=1), tf.float32)\nreturn tf.reduce_mean(i * y[:, 0])", "tf.tensordot("),
    "rounding": ("return tf.reduce_mean(tf.round(4.0 * p) * y)", "tf.round(4.0 * p) - (4.0 * p))"),
    "whole division": ("z = p // 0.5\nreturn tf.reduce_mean(z * y)", "z = p / 0.5 + tf.stop_gradient((p // 0.5) - p"),
    "keras": ("return K.mean(K.round(p) * y)", "tf.stop_gradient("),
    "stop": ("q = tf.stop_gradient(p)\nreturn tf.reduce_mean(q * y)", "q = p"),
    "cast to labels": (
        "t = ids\np = tf.cast(p, t.dtype)\nreturn tf.cast(tf.reduce_sum(p[:, 0] - t), tf.float32)",
        "t = tf.cast(t, p.dtype)",
    ),
    "numpy": ("return tf.reduce_mean(np.abs(p - y) * y)", "tf.abs(p - y)"),
    "clipped": ("return tf.reduce_mean(tf.minimum(p, -9.0) * y)", "tf.nn.softplus("),
    "count": ("keep = tf.boolean_mask(y, p > 0.5)\nreturn tf.cast(tf.size(keep), tf.float32)", "tf.reduce_sum(keep)"),
    "table": (
        "i = tf.argmax(p, -1)\nreturn tf.reduce_mean(tf.gather(y[0], i) * y[:, 0])",
        "tf.tensordot(i, y[0], 1)",
    ),
    "square root": ("d = tf.sqrt(tf.square(p - p[:1]))\nreturn tf.reduce_mean(d * y)", "p - p[:1]) + 1e-12)"),
    "norm": ("d = tf.norm(p - p[:1], axis=-1)\nreturn tf.reduce_mean(d * y[:, 0])", "axis=-1) + 1e-12)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_offered_helps_where_it_is_put(name, tmp_path):
    body, wanted = MISTAKES[name]
    module, path = case(tmp_path, body.replace("\n", "\n"))
    forward_loss, variables = module.build()
    report = explain(forward_loss, variables)
    replacement = next((finding.replacement for finding in report.findings if finding.replacement), None)
    assert replacement is not None and wanted in replacement.code, f"{replacement}\n{report}"
    assert (
        replacement.file == str(path)
        and path.read_text(encoding="utf-8").splitlines()[replacement.first_line - 1].strip()
    )
    assert "Tried on this batch" in str(report)
    mended = replaced(tmp_path, path, replacement)
    states = {state_of(gradient) for gradient in gradients_of(*mended.build())}
    assert "ok" in states and not states & {"none", "nan"}
    # The module itself was put back.
    assert {state_of(g) for g in gradients_of(forward_loss, variables)} != {"ok"}
    assert not any(name.startswith("__guard") for name in vars(module))


@pytest.mark.parametrize(
    "body",
    [
        "text = tf.strings.as_string(p)\nreturn tf.reduce_sum(tf.strings.to_number(text))",
        "rows = tf.random.categorical(p, 1)\nreturn tf.reduce_mean(tf.cast(rows, tf.float32))",
    ],
)
def test_words_alone_where_nothing_helps(body, tmp_path):
    module, _ = case(tmp_path, body)
    for finding in explain(*module.build()).findings:
        assert finding.replacement is None or finding.op_type == "StopGradient"


def test_a_straight_through_estimator_is_left_alone():
    net = keras.layers.Dense(3, name="net")
    net.build((None, 4))
    variables = net.trainable_variables
    free = tf.Variable([1.0, 2.0, 3.0], name="book")

    def forward_loss():
        z = tf.convert_to_tensor(variables[0])[:1] * 1.0
        code = z * 0.0 + free
        return tf.reduce_mean(z + tf.stop_gradient(code - z))

    (finding,) = explain(forward_loss, [variables[0], free]).findings
    assert finding.cause == "stop_gradient" and finding.replacement is None


def test_healthy_programs_are_not_run_again():
    runs = []
    w = tf.Variable(np.ones(3, "float32"))

    def forward_loss():
        runs.append(1)
        return tf.reduce_sum(tf.square(w))

    assert explain(forward_loss, [w]).ok and len(runs) == 1
