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


class Gan(keras.Model):
    """Two players, two tapes, two optimizers; `stop` cuts the generator off."""

    def __init__(self, stop):
        super().__init__()
        self.stop = stop
        self.generator = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3, name="paint")], name="g")
        self.critic = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, name="judge")], name="d")
        self.of_generator, self.of_critic = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)

    def train_step(self, data):
        noise = tf.random.normal((4, 2))
        with tf.GradientTape() as tape:
            real, fake = self.critic(data), self.critic(self.generator(noise))
            points = tf.stack([real, fake])
            with tf.GradientTape() as inner:
                inner.watch(data)
                slope_of = tf.reduce_sum(self.critic(data))
            slope = inner.gradient(slope_of, data)
            loss = tf.reduce_mean(points) + tf.reduce_mean(tf.square(tf.norm(slope, axis=-1) - 1.0))
        variables = self.critic.trainable_variables
        self.of_critic.apply(tape.gradient(loss, variables)[:1], variables[:1])
        with tf.GradientTape() as tape:
            picture = self.generator(noise)
            picture = tf.round(picture) if self.stop else picture
            loss = -tf.reduce_mean(self.critic(picture))
        variables = self.generator.trainable_variables
        self.of_generator.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}


@pytest.mark.parametrize("stop", [True, False])
def test_callback_in_a_train_step_of_ones_own(stop):
    model, guard = Gan(stop), GradientGuard()
    model.compile()
    before = [w.copy() for w in model.get_weights()]
    data = np.random.RandomState(0).rand(4, 3).astype("float32")
    if stop:
        with pytest.raises(MissingGradientError, match="2 of 2 trainable variables get no gradient") as caught:
            model.fit(data, verbose=0, callbacks=[guard])
        finding = caught.value.report.findings[0]
        assert finding.op_type == "Round" and "tf.round(picture)" in finding.code
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    else:
        model.fit(data, verbose=0, callbacks=[guard])
        assert guard.report.ok
    assert "train_step" not in model.__dict__ and keras.optimizers.Optimizer.apply.__name__ == "apply"


def test_callback_can_be_off(images, masks):
    guard = GradientGuard(missing="off")
    model = segmenter()
    model.compile("adam", loss="mse")
    model.fit(images, masks, verbose=0, callbacks=[guard])
    assert guard.report is None
    with pytest.raises(ValueError, match="missing is one of"):
        GradientGuard(missing="perhaps")
