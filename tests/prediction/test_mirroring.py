"""Test-time mirroring: the average of probabilities over all mirror images, for any number of axes."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from trainer.prediction.mirroring import mirrored
from trainer.stepping.segmentation import probabilities


@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 4, 5, 6, 2)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_probabilities_are_averaged_over_all_mirror_images(shape, outputs):
    random = np.random.default_rng(0)
    axes = tuple(range(1, len(shape) - 1))
    tilt = random.normal(size=(*shape[1:-1], outputs)) * 30  # probabilities of 0 and 1 in float32, too
    mix = random.normal(size=(shape[-1], outputs))

    def apply(images):
        return tf.cast(images, tf.float64) @ mix + tilt

    images = random.normal(size=shape).astype(np.float32)
    expected = []
    for subset in itertools.chain(*(itertools.combinations(axes, n) for n in range(len(axes) + 1))):
        expected.append(np.flip(probabilities(apply(np.flip(images, subset))).numpy(), subset))
    assert len(expected) == 2 ** len(axes)
    made = tf.function(mirrored(apply, sigmoid=outputs == 1, axes=axes))(images)
    np.testing.assert_allclose(probabilities(made), np.mean(expected, axis=0), atol=1e-5)


def test_the_result_is_the_same_for_a_mirror_image_and_other_inputs_stay():
    noise = np.random.default_rng(1).normal(size=(6, 8, 1)).astype(np.float32)
    average = mirrored(lambda batch: batch["image"] * noise + batch["shift"][:, None, None, :1], sigmoid=True)
    batch = {"image": noise[None] + 1, "shift": np.array([[2.0, 0.0]], np.float32)}
    batch = {name: tf.constant(value) for name, value in batch.items()}
    turned = batch | {"image": tf.reverse(batch["image"], [1])}
    np.testing.assert_allclose(average(turned), tf.reverse(average(batch), [1]), atol=1e-6)
