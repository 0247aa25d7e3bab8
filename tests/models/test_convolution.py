"""Convolutions whose gradient does not depend on how a batch is parted."""

import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Config, Train
from tests.stepping import replica_runs as runs
from trainer.models.convolution import OURS, Conv2D, Conv2DTranspose, DepthwiseConv2D
from trainer.stepping.wide import images_together, wide_variables

# Small ones are computed in float64, large ones by group of images.
SMALL, LARGE = (8, 10, 10, 6), (8, 48, 48, 16)
LAYERS = [
    (Conv2D(8, 3, padding="same", activation="relu"), SMALL),
    (Conv2D(16, 3, padding="same"), LARGE),
    (Conv2D(16, 3, strides=2), LARGE),
    (Conv2D(16, 3, dilation_rate=2, padding="same", use_bias=False), LARGE),
    (DepthwiseConv2D(3, padding="same"), SMALL),
    (DepthwiseConv2D(5, strides=2, depth_multiplier=2), LARGE),
    (Conv2DTranspose(8, 2, strides=2), SMALL),
    (Conv2DTranspose(16, 3, strides=2, padding="same"), LARGE),
]
# What the raw operations have no room for is left to Keras.
LEFT = [
    (Conv2D(8, 3, groups=2), SMALL),
    (DepthwiseConv2D(3, dilation_rate=2), SMALL),
    (Conv2DTranspose(8, 3, strides=2, output_padding=1), SMALL),
]

THEIRS = {one: other for other, one in OURS.items()}


def identity(case):
    layer, shape = case
    return f"{type(layer).__name__} {layer.kernel_size} on {shape[1]}"


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def gradients(layer, x, images):
    """The output, and the gradients of a weighted sum of it to kernel and bias."""
    with tf.GradientTape() as tape, wide_variables(tape, images) as variables:
        y = layer(x)
        loss = tf.reduce_sum(y * noise(y.shape[1:], seed=1))
    return y, variables.gradients(loss, layer.trainable_weights)


@pytest.mark.parametrize("case", LAYERS + LEFT, ids=identity)
def test_outputs_and_gradients_are_those_of_keras(case):
    layer, shape = case
    keras_layer = THEIRS[type(layer)].from_config(layer.get_config())
    x = noise(shape)
    keras_layer(x), layer(x)
    keras_layer.set_weights(layer.get_weights())
    (y, found), (expected_y, expected) = gradients(layer, x, 1), gradients(keras_layer, x, 0)
    np.testing.assert_allclose(y, expected_y, rtol=1e-5, atol=1e-5)
    for one, other in zip(found, expected, strict=True):
        assert np.linalg.norm(one.numpy() - other.numpy()) < 1e-5 * np.linalg.norm(other)


@pytest.mark.parametrize("case", LAYERS, ids=identity)
def test_the_gradient_is_the_same_however_the_batch_is_parted(case):
    layer, shape = case
    x = noise(shape)

    def parted(into):
        parts = [gradients(layer, part, 2)[1] for part in np.split(x, into)]
        return [np.sum(of_variable, axis=0).astype("float32") for of_variable in zip(*parts, strict=True)]

    whole = parted(1)
    for into in (2, 4):
        for one, other in zip(whole, parted(into), strict=True):
            assert np.array_equal(one, other)


def test_a_batch_of_unknown_size_is_taken_image_by_image():
    layer, x = Conv2D(16, 3, padding="same"), noise((4, 48, 48, 16))
    layer(x)
    unknown = tf.function(lambda x: gradients(layer, x, 1)[1], input_signature=[tf.TensorSpec((None, 48, 48, 16))])
    for one, other in zip(unknown(x), gradients(layer, x, 1)[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("batch", "accumulate", "images"), [(8, 1, 2), (8, 2, 1), (32, 2, 4), (6, 1, 3), (5, 1, 5), (4, 4, 1)]
)
def test_images_stay_together_that_one_two_and_four_replicas_do_not_part(batch, accumulate, images):
    config = Config(train=Train(batch_size=batch, accumulate=accumulate))
    assert images_together(config) == images
    assert images_together(runs.replace(config, deterministic=True)) == 1
    assert images_together(runs.replace(config, train={"jit_compile": True})) == 0
