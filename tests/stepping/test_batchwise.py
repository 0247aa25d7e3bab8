"""A loss that mixes the examples of a batch is named, unless it passes its sums through `global_sum`."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config, Data, Loss
from trainer import Run, Task, global_sum
from trainer.stepping.batchwise import batchwise_remark
from trainer.stepping.objective import build_objective

LABELS = np.zeros((10, 8, 8), "uint8")
LABELS[:, :3] = 1


def errors(y_true, y_pred):
    return tf.nn.softmax_cross_entropy_with_logits(y_true, y_pred)


def dice(y_true, y_pred, total=lambda values: values):
    p, space = tf.nn.softmax(y_pred), [0, 1, 2]
    overlap, sizes = total(tf.reduce_sum(p * y_true, space)), total(tf.reduce_sum(p + y_true, space))
    return 1.0 - tf.reduce_mean(2.0 * overlap / sizes)


def summed_dice(y_true, y_pred):
    return dice(y_true, y_pred, global_sum)


def dice_of_each_image(y_true, y_pred):
    p = tf.nn.softmax(y_pred)
    return 1.0 - tf.reduce_sum(p * y_true, [1, 2]) / tf.reduce_sum(p + y_true, [1, 2])


def root(y_true, y_pred):
    return tf.sqrt(tf.reduce_mean(tf.square(y_true - tf.nn.softmax(y_pred))))


def hardest(y_true, y_pred):
    values = tf.reshape(errors(y_true, y_pred), [-1])
    return tf.reduce_mean(tf.nn.top_k(values, tf.size(values) // 4)[0])


def hardest_of_each_image(y_true, y_pred):
    values = tf.reshape(errors(y_true, y_pred), [tf.shape(y_pred)[0], -1])
    return tf.nn.top_k(values, 16)[0]


def weighted_quotient(y_true, y_pred, weight):
    return tf.reduce_sum(weight * errors(y_true, y_pred)) / tf.reduce_sum(weight)


def weighted_mean(y_true, y_pred, weight):
    return weight * errors(y_true, y_pred)


def mean_of_the_known(y_true, y_pred, mask):
    return tf.reduce_sum(mask * errors(y_true, y_pred)) / tf.reduce_sum(mask)


def pixels(outputs):
    image = keras.Input((None, None, 1))
    return keras.Model(image, keras.layers.Conv2D(outputs, 1)(image))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = {"image": 40 * LABELS, "label": LABELS, "weight": np.ones((10, 8, 8), "float32")}
    config = Config(augment=Augment(crop=(8, 8)))
    return Run(config, workdir=tmp_path_factory.mktemp("run"), model=pixels, data=data, loss=root)


def remark(run, loss) -> str:
    config = Config(data=Data(classes=("a", "b")), loss=Loss(from_logits=not isinstance(loss, keras.losses.Loss)))
    run.task.objective = build_objective(config, 2, loss)
    return batchwise_remark(run)


@pytest.mark.parametrize("loss", [dice, root, hardest, weighted_quotient])
def test_a_loss_over_the_batch_is_named_with_both_numbers(run, loss):
    found = remark(run, loss)
    assert "mixes the examples of a batch: " in found and " whole, " in found and " in two halves" in found


@pytest.mark.parametrize("loss", [mean_of_the_known, keras.losses.Dice()])
def test_what_only_void_pixels_mix_is_named_with_them(run, loss):
    assert "mixes the examples of a batch where one has void pixels: " in remark(run, loss)


@pytest.mark.parametrize(
    "loss",
    [summed_dice, dice_of_each_image, hardest_of_each_image, weighted_mean, errors, keras.losses.Dice(axis=(1, 2, 3))],
)
def test_means_over_examples_and_global_sums_are_no_cause_for_a_warning(run, loss):
    assert remark(run, loss) == ""


@pytest.mark.parametrize("loss", [keras.losses.Dice(), keras.losses.Tversky(axis=(1, 2, 3))])
def test_a_keras_loss_without_a_value_a_pixel_leaves_void_pixels_out(loss):
    """They were weights of its value, which became the smaller the more of them there were."""
    objective = build_objective(Config(loss=Loss(from_logits=False)), 2, loss)
    labels = np.tile(LABELS[:2].astype("int32"), (1, 2, 1))
    logits = np.random.default_rng(0).normal(size=(2, 16, 8, 2)).astype("float32")
    known = objective(tf.constant(labels[:, 8:]), tf.constant(logits[:, 8:]))["loss"]
    labels[:, :8] = 255
    np.testing.assert_allclose(objective(tf.constant(labels), tf.constant(logits))["loss"], known, rtol=1e-6)


class Quotient(Task):
    """The error by the area of class 1, which differs from example to example."""

    def __init__(self, model):
        self.model, self.seeds = model, keras.random.SeedGenerator(0)

    def losses(self, batch, training):
        area = tf.cast(batch["label"] == 1, tf.float32)
        return {"error": self.quotient(tf.reduce_sum(area * self.model(batch["image"])[..., 1] ** 2), area)}

    def quotient(self, errors, area):
        return errors / tf.reduce_sum(area)


class Summed(Quotient):
    def quotient(self, errors, area):
        return global_sum(errors) / global_sum(tf.reduce_sum(area))


class HalfSummed(Quotient):
    def quotient(self, errors, area):
        return errors / global_sum(tf.reduce_sum(area))


class Drawn(Quotient):
    def quotient(self, errors, area):
        return errors / tf.reduce_sum(area) * keras.random.uniform([], seed=self.seeds)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (
            Quotient,
            "Quotient.losses mixes the examples of a batch: .*global_sum(…) of its sums before they are divided",
        ),
        (Summed, ""),
        (HalfSummed, "HalfSummed.losses mixes .*global_sum(…) of all sums, not of some alone"),
        (Drawn, ""),
    ],
)
def test_terms_of_a_task_that_mix_examples_are_named(tmp_path, task, words):
    labels = np.zeros((10, 8, 8), "uint8")
    for number, label in enumerate(labels):
        label[: 1 + number % 7] = 1
    run = Run(
        Config(augment=Augment(crop=(8, 8))), workdir=tmp_path, model=pixels, task=task, data=(40 * labels, labels)
    )
    before = run.task.seeds.state.numpy()
    said = batchwise_remark(run)
    assert re.search("(?s)" + words.replace("(…)", r"\(…\)"), said) and bool(said) == bool(words)
    assert (run.task.seeds.state.numpy() == before).all()
