"""GradientGuard in fit: before the first step, once, and without a trace in a healthy run."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.guard import keras_models
from tests.guard.keras_models import segmenter, stopped_dice, two_heads
from trainer.guard import GradientGuard, MissingGradientError


@pytest.fixture
def images():
    return keras_models.images()


@pytest.fixture
def masks():
    return keras_models.masks()


def test_callback_stops_fit_before_the_first_step(images, masks):
    model = segmenter()
    before = [w.copy() for w in model.get_weights()]
    model.compile("adam", loss=stopped_dice)
    with pytest.raises(MissingGradientError, match="4 of 4 trainable variables get no gradient") as caught:
        model.fit(images, masks, verbose=0, callbacks=[GradientGuard()])
    assert caught.value.report.findings[0].code == "return 1.0 - tf.stop_gradient(score)"
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert "train_step" not in model.__dict__


def test_callback_lets_a_healthy_model_train_as_without_it(images, masks):
    histories = []
    for callbacks in ([], [GradientGuard()], [GradientGuard(images, masks)]):
        model = segmenter()
        model.compile("sgd", loss="binary_crossentropy")
        histories.append(
            model.fit(images, masks, epochs=2, shuffle=False, verbose=0, callbacks=callbacks).history["loss"]
        )
        assert all(c.report.ok for c in callbacks) and "train_step" not in model.__dict__
    assert histories[0] == histories[1] == histories[2]


def test_callback_in_a_second_fit_of_a_traced_model(images, masks):
    model = segmenter()
    model.compile("adam", loss=stopped_dice)
    with pytest.raises(ValueError):
        model.fit(images, masks, verbose=0)
    with pytest.raises(MissingGradientError):
        model.fit(images, masks, verbose=0, callbacks=[GradientGuard()])


def test_callback_allows_and_warns(images, masks, capsys):
    guard = GradientGuard(allow=["b/.*"])
    r = np.random.RandomState(4)
    model = two_heads(names=False)
    model.compile("adam", loss=["mse", None])
    with pytest.warns(UserWarning, match="Gradients do not exist"):  # Keras's own
        model.fit(r.rand(6, 4), [r.rand(6, 1), r.rand(6, 2)], verbose=0, callbacks=[guard])
    assert guard.report.ok and set(guard.report.allowed) == {"b/kernel", "b/bias"}

    model = two_heads(names=False)
    model.compile("adam", loss=["mse", None])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        model.fit(r.rand(6, 4), [r.rand(6, 1), r.rand(6, 2)], verbose=0, callbacks=[GradientGuard(missing="warn")])
    assert "2 of 6 trainable variables get no gradient" in capsys.readouterr().err


def test_callback_finds_numbers_in_eager_steps_and_in_a_batch_of_its_own(images, masks):
    def loss(y_true, y_pred):
        return tf.reduce_mean(tf.sqrt(tf.square(y_pred - y_pred) * y_true))

    for run_eagerly, guard in ((True, GradientGuard()), (False, GradientGuard(images, masks))):
        model = segmenter()
        model.compile("adam", loss=loss, run_eagerly=run_eagerly)
        with pytest.raises(MissingGradientError, match="NaN or infinite"):
            model.fit(images, masks, verbose=0, callbacks=[guard])


def test_callback_refuses_a_train_step_that_it_cannot_know(images, masks):
    class Own(keras.Sequential):
        def train_step(self, data):
            return {"loss": tf.constant(0.0)}

    model = Own([keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, padding="same")])
    model.compile("adam", loss="mse")
    with pytest.raises(ValueError, match="Own has a train_step of its own"):
        model.fit(images, masks, verbose=0, callbacks=[GradientGuard()])


def test_callback_can_be_off(images, masks):
    guard = GradientGuard(missing="off")
    model = segmenter()
    model.compile("adam", loss="mse")
    model.fit(images, masks, verbose=0, callbacks=[guard])
    assert guard.report is None
    with pytest.raises(ValueError, match="missing is one of"):
        GradientGuard(missing="perhaps")
