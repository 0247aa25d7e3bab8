"""A loss that mixes the examples of a batch is named, unless it passes its sums through `global_sum`."""

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Augment, Config
from trainer import Run, global_sum
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
