"""Test-time mirroring: the average of probabilities over all mirror images, for any number of axes."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Config, Data, Evaluate, Model
from trainer.prediction.mirroring import mirrored
from trainer.prediction.windows import logits_function
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

    def apply(batch):
        return batch["image"] * noise + batch["depth"][..., None] + batch["shift"][:, None, None, :1]

    average = mirrored(apply, sigmoid=True, keys=("image", "depth"))
    batch = {"image": noise[None] + 1, "depth": noise[None, ..., 0] ** 2, "shift": np.array([[2.0, 0.0]], np.float32)}
    batch = {name: tf.constant(value) for name, value in batch.items()}
    turned = batch | {name: tf.reverse(batch[name], [1]) for name in ("image", "depth")}
    np.testing.assert_allclose(average(turned), tf.reverse(average(batch), [1]), atol=1e-6)


@pytest.mark.parametrize("side", [None, 16], ids=["any size", "one size"])
@pytest.mark.parametrize("mirror", [False, True])
def test_inputs_as_large_as_the_image_are_padded_cut_and_mirrored_with_it(side, mirror):
    """With an axis of channels or without; a model that treats each pixel by itself sees no difference."""
    image, depth = keras.Input((side, side, 3), name="image"), keras.Input((side, side), name="depth")
    table = keras.Input((2, 2), name="table")
    sum_of_table = keras.ops.sum(table, axis=(1, 2))[:, None, None, None]
    features = keras.layers.Concatenate()([image * sum_of_table, depth[..., None]])
    model = keras.Model([image, depth, table], keras.layers.Conv2D(2, 1)(features))
    random = np.random.default_rng(0)
    batch = {"image": (1, 19, 23, 3), "depth": (1, 19, 23), "table": (1, 2, 2)}
    batch = {name: tf.constant(random.normal(size=shape), tf.float32) for name, shape in batch.items()}
    kernel, bias = model.get_weights()
    seen = np.concatenate([batch["image"] * np.sum(batch["table"]), batch["depth"][..., None]], axis=-1)
    expected = tf.nn.log_softmax(seen @ kernel[0, 0] + bias)
    config = Config(
        data=Data(classes=("a", "b")), model=Model(outputs="softmax"), evaluate=Evaluate(mirror=mirror, tile_overlap=4)
    )
    found = tf.nn.log_softmax(logits_function(model, config)(batch))
    np.testing.assert_allclose(found, expected, atol=1e-5)
