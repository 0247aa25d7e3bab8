"""Whatever the guard runs and watches, the program finds everything as it was."""

import random
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import record
from tensorflow.python.framework import op_callbacks, ops

from trainer.guard import explain

FEATURES = np.random.RandomState(0).rand(6, 4).astype("float32")


def model_with_state():
    return keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(3, name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.5, seed=3),
            keras.layers.Dense(2, name="head"),
        ]
    )


@pytest.mark.parametrize("ending", [tf.identity, tf.round, lambda t: tf.constant(t.numpy())])
def test_variables_and_random_numbers_are_put_back(ending):
    model, counter = model_with_state(), tf.Variable(0, trainable=False)

    def forward_loss():
        counter.assign_add(1)
        noise = random.random() + np.random.rand() + tf.random.uniform([])
        return tf.reduce_mean(ending(model(FEATURES, training=True))) + 0.0 * tf.cast(noise, tf.float32)

    def draws():
        return random.random(), np.random.rand(), float(tf.random.uniform([]))

    keras.utils.set_random_seed(5)
    expected = draws()
    keras.utils.set_random_seed(5)
    before = [variable.numpy() for variable in model.variables]
    explain(forward_loss, model.trainable_variables)
    assert draws() == expected
    assert counter.numpy() == 0
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def watched_things():
    return {
        "fast path": pywrap_tfe.TFE_Py_FastPathExecute,
        "record": record.record_operation,
        "_numpy": ops._EagerTensorBase._numpy,
        "np.array": np.array,
        "np.asarray": np.asarray,
        "gradient": tf.GradientTape.gradient,
        "functions eagerly": tf.config.functions_run_eagerly(),
        "protocols": [hasattr(tf.constant(1.0), name) for name in ("__array_function__", "__array_ufunc__")],
        "callbacks": bool(op_callbacks.should_invoke_op_callbacks()),
    }


def test_everything_that_was_watched_is_let_go_even_after_an_error():
    before = watched_things()
    w = tf.Variable([1.0, 2.0], name="w")
    assert not explain(lambda: tf.reduce_sum(tf.round(w)), [w]).ok
    with pytest.raises(ZeroDivisionError):
        explain(lambda: tf.reduce_sum(tf.round(w)) / (1 // 0), [w])
    assert watched_things() == before


def test_an_outer_tape_is_not_disturbed():
    w = tf.Variable([1.0, 2.0], name="w")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(w**2)
        explain(lambda: tf.reduce_sum(tf.round(w)), [w])
    np.testing.assert_allclose(tape.gradient(loss, w), [2.0, 4.0])


def test_other_threads_read_what_is_there():
    w, other = tf.Variable([2.0], name="w"), tf.Variable(8.0)
    seen, done = [], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(float(other.numpy()))

    def forward_loss():
        return tf.constant(float(w[0]) * 2.0) + 0.0 * tf.reduce_sum(tf.constant(np.zeros(200_000, "float32")))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        report = explain(forward_loss, [w])
    finally:
        done.set()
        thread.join()
    assert not report.ok and set(seen) == {8.0}
