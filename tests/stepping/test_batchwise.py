"""A loss that mixes the examples of a batch is named, unless it passes its sums through `global_sum`."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config
from trainer import Run, Task, global_sum
from trainer.stepping.batchwise import batchwise_remark

LABELS = np.zeros((10, 8, 8), "uint8")
LABELS[:, :3] = 1


def dice(y_true, y_pred, total=lambda values: values):
    p, space = tf.nn.softmax(y_pred), [0, 1, 2]
    overlap, sizes = total(tf.reduce_sum(p * y_true, space)), total(tf.reduce_sum(p + y_true, space))
    return 1.0 - tf.reduce_mean(2.0 * overlap / sizes)


def summed_dice(y_true, y_pred):
    return dice(y_true, y_pred, global_sum)


def pixels(outputs):
    image = keras.Input((None, None, 1))
    return keras.Model(image, keras.layers.Conv2D(outputs, 1)(image))


def test_sums_over_the_global_batch_are_no_cause_for_a_warning(tmp_path):
    def remark(loss):
        config = Config(augment=Augment(crop=(8, 8)))
        return batchwise_remark(Run(config, workdir=tmp_path, model=pixels, loss=loss, data=(40 * LABELS, LABELS)))

    assert "mixes the examples of a batch" in remark(dice)
    assert remark(summed_dice) == ""
    # What needs more than labels and logits is tried on the first examples.
    assert "the loss mixes" in remark(lambda y_true, y_pred, image: dice(y_true, y_pred + 0.01 * image))
    assert remark(lambda y_true, y_pred, image: tf.reduce_mean((y_true - y_pred + 0.01 * image) ** 2)) == ""


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
