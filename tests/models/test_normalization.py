"""The built-in normalisations: formulas, gradients, large images, replicas, and networks that get them."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.stepping.replica_runs import mirrored
from trainer.models.layers.batch_normalization import BatchNormalization
from trainer.models.layers.group_normalization import GroupNormalization
from trainer.models.synchronization import same_on_all_replicas, synchronize

# --- group normalisation


@pytest.mark.parametrize(("channels", "groups"), [(8, 8), (6, 2), (4, 1)])
def test_group_normalisation_is_the_formula_and_its_gradient_is_right(channels, groups):
    layer, x, weights = GroupNormalization(groups), noise(3, 6, 5, channels), noise(3, 6, 5, channels, seed=1)
    layer.build(x.shape)
    layer.gamma.assign(np.linspace(0.5, 2.0, channels))
    layer.beta.assign(np.linspace(-1.0, 1.0, channels))

    def both(x, gamma, beta, normalised):
        with tf.GradientTape() as tape:
            tape.watch([x, gamma, beta])
            y = normalised(x, gamma, beta)
            value = tf.reduce_sum(y * tf.cast(weights, y.dtype))
        return y, *tape.gradient(value, [x, gamma, beta])

    def formula(x, gamma, beta):
        grouped = tf.reshape(x, (3, 6, 5, groups, channels // groups))
        mean, variance = tf.nn.moments(grouped, [1, 2, 4], keepdims=True)
        return gamma * tf.reshape((grouped - mean) / tf.sqrt(variance + 1e-3), x.shape) + beta

    found = both(tf.constant(x), layer.gamma.value, layer.beta.value, lambda x, gamma, beta: layer(x))
    expected = both(*(tf.constant(np.float64(v)) for v in (x, layer.gamma.numpy(), layer.beta.numpy())), formula)
    for ours, kept in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, kept, rtol=1e-5, atol=1e-4)


def test_group_normalisation_takes_large_images_and_half_precision():
    # Far from zero: with one float32 sum over the pixels, as in Keras's layer, the mean here is 0.06.
    x = np.float32(1000.0) + noise(1, 384, 384, 2)
    y = GroupNormalization(2, dtype="float32")(x).numpy().astype("float64")
    assert np.abs(y.mean((0, 1, 2))).max() < 1e-3 and np.abs(y.std((0, 1, 2)) - 1.0).max() < 1e-3
    half = GroupNormalization(2, dtype="mixed_float16")(tf.cast(100.0 * noise(1, 64, 64, 2), tf.float16))
    assert half.dtype == tf.float16 and np.isfinite(half.numpy()).all()
    with pytest.raises(ValueError, match="6 channels cannot be shared out among 4 groups"):
        GroupNormalization(4).build((None, 8, 8, 6))


# --- batch normalisation


def test_a_network_of_keras_keeps_its_weights_with_batch_normalisation_over_the_global_batch():
    # InceptionV3 has no gamma; there the layer stays Keras's own.
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization(name="whole")(keras.layers.Conv2D(4, 3, name="conv")(inputs))
    network = keras.Model(inputs, keras.layers.BatchNormalization(scale=False, name="no_gamma")(x))
    network.set_weights([0.5 + np.random.default_rng(0).random(w.shape) for w in network.get_weights()])
    copied = same_on_all_replicas(network, momentum=0.8, synchronized=True)
    np.testing.assert_allclose(copied(noise(2, 8, 8, 3)), network(noise(2, 8, 8, 3)), rtol=1e-5, atol=1e-5)
    assert type(copied.get_layer("whole")) is BatchNormalization
    for name in ("whole", "no_gamma"):
        layer = copied.get_layer(name)
        assert (layer.momentum, layer.synchronized, layer.epsilon) == (0.8, True, 1e-3)


def test_all_batch_normalisation_of_a_model_is_synchronised():
    inner = keras.Sequential([BatchNormalization(name="ours"), keras.layers.BatchNormalization(name="of_keras")])
    model = keras.Sequential([keras.layers.Conv2D(4, 3), inner])
    synchronize(model)
    assert [layer.synchronized for layer in inner.layers] == [True, True]


def reference(x, gamma, beta, epsilon):
    """In float64: output, mean, variance by n - 1."""
    x = x.astype("float64")
    mean, variance, n = x.mean((0, 1, 2)), x.var((0, 1, 2)), x[..., 0].size
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta, mean, variance * n / (n - 1)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(3.0, 2.0, shape).astype("float32")


def test_batch_normalisation_is_the_formula_and_its_gradient_is_right():
    layer, x = BatchNormalization(momentum=0.9), noise(4, 6, 5, 3)
    layer.build(x.shape)
    layer.gamma.assign([0.5, 1.0, 2.0])
    layer.beta.assign([1.0, 0.0, -1.0])
    y = layer(x, training=True).numpy()
    expected, mean, variance = reference(x, layer.gamma.numpy(), layer.beta.numpy(), 1e-3)
    np.testing.assert_allclose(y, expected, atol=2e-6)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * variance, rtol=1e-6)

    weights = noise(4, 6, 5, 3, seed=1)

    def through_keras(x):
        other = keras.layers.BatchNormalization(epsilon=1e-3, dtype="float64")
        other.build(x.shape)
        other.gamma.assign(layer.gamma.numpy())
        other.beta.assign(layer.beta.numpy())
        return other, other(x, training=True)

    x64 = tf.constant(x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x64)
        other, y64 = through_keras(x64)
        loss = tf.reduce_sum(y64 * weights)
    exact = tape.gradient(loss, [x64, other.gamma.value, other.beta.value])
    x32 = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x32)
        loss = tf.reduce_sum(layer(x32, training=True) * weights)
    for got, wanted in zip(tape.gradient(loss, [x32, layer.gamma.value, layer.beta.value]), exact, strict=True):
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_a_mean_far_from_zero_costs_no_digits():
    x = noise(4, 16, 16, 2) * 1e-2 + 1000.0
    layer = BatchNormalization()
    expected, _, _ = reference(x, 1.0, 0.0, 1e-3)
    np.testing.assert_allclose(layer(x, training=True).numpy(), expected, atol=2e-3)


def test_inference_and_a_frozen_layer_use_the_moving_averages():
    layer, x = BatchNormalization(), noise(2, 4, 4, 3)
    layer.build(x.shape)
    layer.moving_mean.assign([3.0, 3.0, 3.0])
    layer.moving_variance.assign([4.0, 4.0, 4.0])
    expected = (x - 3.0) / np.sqrt(4.001)
    np.testing.assert_allclose(layer(x, training=False).numpy(), expected, atol=1e-5)
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True).numpy(), expected, atol=1e-5)
    assert np.array_equal(layer.moving_mean.numpy(), [3.0, 3.0, 3.0])


def test_two_replicas_have_the_statistics_of_the_whole_batch():
    x = noise(4, 6, 6, 3)
    strategy = mirrored(2)
    with strategy.scope():
        layer = BatchNormalization(momentum=0.0, synchronized=True)
        layer.build(x.shape)
    halves = itertools.cycle([x[:2], x[2:]])
    parts = strategy.experimental_distribute_values_from_function(lambda _: tf.constant(next(halves)))
    y = tf.function(lambda: strategy.run(lambda part: layer(part, training=True), args=(parts,)))()
    expected, mean, variance = reference(x, 1.0, 0.0, 1e-3)
    joined = np.concatenate([part.numpy() for part in strategy.experimental_local_results(y)])
    np.testing.assert_allclose(joined, expected, atol=2e-6)
    np.testing.assert_allclose(layer.moving_mean.value.numpy(), mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.value.numpy(), variance, rtol=1e-6)
