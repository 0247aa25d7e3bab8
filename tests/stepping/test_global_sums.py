"""Sums over the global batch: their value, their slope, and the two passes on the same dropout noise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.stepping.replica_runs import mirrored
from trainer.distribution.all_reduce import sum_over_replicas
from trainer.models.layers.dropout import Dropout
from trainer.stepping.global_sums import GlobalSums, global_sum, offered


def test_the_sum_has_the_value_of_all_and_the_slope_of_one_share():
    """L(S) = S^2 for S = s_1 + s_2 + s_3 on three micro-batches, each of which contributes a third of L."""
    sums = GlobalSums(1, 3)
    sums._totals = [tf.constant([6.0])]
    shares = [tf.Variable([value]) for value in (1.0, 2.0, 3.0)]
    total_gradient = []
    for share in shares:
        all_reduce = sums.next_part()
        with tf.GradientTape() as tape:
            of_all = all_reduce(share.read_value())
            loss = of_all**2 / 3
        assert of_all.numpy() == [6.0]
        total_gradient.append(tape.gradient(loss, share).numpy()[0])
    # d(S^2)/ds_k = 2 S = 12, for every k.
    assert total_gradient == pytest.approx([12.0, 12.0, 12.0])


def test_both_passes_see_the_same_noise_and_leave_one_trace():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 4, 1)), Dropout(0.5), keras.layers.BatchNormalization()])
    x = np.random.default_rng(0).normal(size=(6, 4, 4, 1)).astype("float32")
    parts = [{"image": x[i::3]} for i in range(3)]
    state = [v.numpy() for v in model.non_trainable_variables]
    local, everywhere = [], []

    def losses(part):
        outputs = model(part["image"], training=True)
        for sums in (tf.reduce_sum(outputs), tf.reduce_sum(outputs * part["image"])):
            local.append(float(sums))
            everywhere.append(float(global_sum(sums)))

    sums = GlobalSums(1, 3)
    sums.collect(losses, model.non_trainable_variables, parts)
    for before, variable in zip(state, model.non_trainable_variables, strict=True):
        assert np.array_equal(before, variable.numpy()), variable.path
    first = list(local)
    local.clear()
    everywhere.clear()
    for part in parts:
        with offered(sums.next_part()):
            losses(part)
    assert local == first
    assert len(set(first)) == 6
    totals = [sum(first[0::2]), sum(first[1::2])]
    np.testing.assert_allclose(everywhere, totals * 3, rtol=1e-5)


def test_over_replicas_the_sum_is_of_all_and_passes_no_gradient():
    strategy = mirrored(2)

    @tf.function
    def run():
        def replica():
            rank = tf.distribute.get_replica_context().replica_id_in_sync_group
            x = tf.cast(rank, tf.float32) + tf.constant([1.0, 2.0])
            with tf.GradientTape() as tape:
                tape.watch(x)
                a, b = sum_over_replicas([x, tf.cast(x, tf.float64)])
                loss = tf.reduce_sum(a)
            return a, b, tape.gradient(loss, x, unconnected_gradients="zero")

        return strategy.run(replica)

    for values, wanted in zip(run(), ([3.0, 5.0], [3.0, 5.0], [0.0, 0.0]), strict=True):
        for value in strategy.experimental_local_results(values):
            assert value.numpy().tolist() == wanted


def test_on_one_replica_nothing_is_sent():
    x = tf.constant([1.0])
    assert sum_over_replicas([x])[0].numpy() == [1.0]
    assert GlobalSums(1, 1).next_part() is None
    assert global_sum(x) is x
