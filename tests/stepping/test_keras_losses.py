"""Losses of Keras's: a mean over a replica's share is that mean, on any number of replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Config, Data, Loss
from tests.stepping.replica_runs import mirrored, tiny
from trainer import Task, UserError
from trainer.stepping.objective import build_objective

LABELS = np.random.default_rng(0).integers(0, 2, (2, 4, 4)).astype("int32")
LOGITS = np.random.default_rng(1).normal(size=(2, 4, 4, 2)).astype("float32")


class Compared(Task):
    def __init__(self, loss):
        self.loss = loss

    def losses(self, batch, training):
        return {"loss": self.loss(batch["label"], LOGITS)}


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_keras_loss_is_not_divided_by_the_number_of_replicas(replicas):
    mean = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, LOGITS)).numpy()
    task = Compared(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    objective = build_objective(tiny(), 2, keras.losses.CategoricalCrossentropy(from_logits=True))
    strategy = mirrored(replicas)

    @tf.function
    def values():
        terms = task.outcome({"label": tf.constant(LABELS)}, True).terms, objective(LABELS, tf.constant(LOGITS))
        return [term["loss"] for term in terms]

    for value in strategy.run(values):
        np.testing.assert_allclose(strategy.experimental_local_results(value), mean, rtol=1e-6)
    if replicas == 2:  # elsewhere Keras divides, as for `fit`
        elsewhere = strategy.run(tf.function(lambda: task.losses({"label": LABELS}, True)["loss"]))
        np.testing.assert_allclose(strategy.experimental_local_results(elsewhere), mean / 2, rtol=1e-6)


def test_what_a_function_of_keras_raises_is_said_with_what_it_was_called_with():
    config = Config(data=Data(classes=("a", "b")), loss=Loss(labels="ids"))
    with pytest.raises(UserError, match=r"sparse_categorical_crossentropy.* cannot be used here: it raised ValueError"):
        build_objective(config, 2, keras.losses.sparse_categorical_crossentropy)(LABELS[..., None, None], LOGITS)
