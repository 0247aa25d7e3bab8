"""One meaning on any number of replicas and micro-batches: the same gradients, and the same decisions."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.stepping import replica_runs as runs
from trainer import global_sum
from trainer.stepping.precision import INITIAL_SCALE

STEPS = 10


class KeepsGradients(keras.optimizers.Optimizer):
    """Puts in the place of each variable the gradient that it is given."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign(variable, tf.cast(gradient, variable.dtype))


def own_batch_dice(y_true, y_pred):
    """Of the user's, over the batch, with the means to be the same on parts of it."""
    probabilities = tf.nn.softmax(y_pred)
    overlap = global_sum(tf.reduce_sum(probabilities * y_true, axis=[0, 1, 2]))
    sizes = global_sum(tf.reduce_sum(probabilities + y_true, axis=[0, 1, 2]))
    return 1.0 - tf.reduce_mean((2.0 * overlap + 1.0) / (sizes + 1.0))


LOSSES = {
    "dice+cross_entropy": {},
    "batch dice": {"loss": {"name": "dice", "options": {"*": {"over": "batch"}}}},
    "own batch dice": {},
    "focal, group normalisation": {"loss": {"name": "focal_softmax"}, "model": {"normalization": "group"}},
    "lovasz, dropout": {"loss": {"name": "lovasz_softmax"}, "model": {"normalization": "none", "dropout": 0.3}},
    "bfloat16": {},
    "float16": {},
}
# Relative to the largest element of the gradient: 1e-6 but for group normalisation, where convolutions' own sums in
# float32 left 1.1e-6 on a processor with AVX-512: one replica's kernel was 4e-7 from a sum in float64, and 7e-7 from
# the sum of its halves. Half precision rounds every activation, in another order of images or not.
WITHIN = {"bfloat16": 4 * 2.0**-8, "float16": 16 * 2.0**-11, "focal, group normalisation": 2e-6}


@functools.cache
def gradients(losses, replicas, accumulate):
    """The gradients of one step, and its report."""
    changes = runs.replace(runs.tiny(**LOSSES[losses]), train={"accumulate": accumulate}, optimizer={"clip_norm": 0.0})
    make = runs.make if "dropout" in losses else runs.make_block
    policy = f"mixed_{losses}" if losses.endswith("float16") else "float32"
    loss = own_batch_dice if "own" in losses else None
    made = make(changes, replicas, policy=policy, optimizer=KeepsGradients(1.0), loss=loss)
    made.run(runs.batches(1))
    return {v.path: v.numpy() for v in made.state.trainable}, made.totals.read()


@pytest.mark.slow
@pytest.mark.parametrize("losses", LOSSES)
def test_a_step_has_the_same_gradients_on_any_number_of_replicas_and_micro_batches(losses):
    shapes = [(2, 1), (8, 1)]
    if losses == "dice+cross_entropy":
        shapes.append((4, 1))
    if "group" in losses:
        # Batch statistics and dropout's noise are a micro-batch's, so accumulation is compared where there are none.
        shapes += [(1, 2), (2, 2), (1, 8)]
    whole, report = gradients(losses, 1, 1)
    largest = max(np.abs(g).max() for g in whole.values())
    assert largest > 1e-3
    for shape in shapes:
        parts, of_parts = gradients(losses, *shape)
        for path, gradient in whole.items():
            apart = np.abs(gradient - parts[path]).max() / largest
            assert apart < WITHIN.get(losses, 1e-6), (shape, path)
        assert of_parts["loss"] == pytest.approx(report["loss"], rel=WITHIN.get(losses, 1e-6))


@functools.cache
def trained(replicas):
    """Ten steps with clipping, averaged weights, accumulation and synchronised batch normalisation."""
    made = runs.make(runs.tiny(), replicas).run(runs.batches(STEPS))
    return made, made.weights(), made.totals.read()


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, 4])
def test_ten_steps_stay_together(replicas):
    (_, before, report), (_, after, of_many) = trained(1), trained(replicas)
    assert before["counter/step"] == after["counter/step"] == STEPS
    assert runs.distance(before, after) < 1e-5
    assert of_many == pytest.approx(report, rel=1e-4)


def test_the_weights_have_moved_and_differ_from_their_averages():
    """Without this the closeness above could hold for a run that trains nothing."""
    start = runs.make(runs.tiny()).weights()
    _, end, _ = trained(1)
    kernel = "down0_1_conv/kernel"
    assert runs.difference({"": start[f"model/{kernel}"]}, {"": end[f"model/{kernel}"]})[0] > 1e-3
    assert runs.difference({"": end[f"average/{kernel}"]}, {"": end[f"model/{kernel}"]})[0] > 1e-4


def test_another_number_of_steps_in_a_call_does_not_trace_again():
    made, _, _ = trained(1)
    made.run(runs.batches(3))
    made.run(runs.batches(2))
    assert made.train_steps.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_an_overflow_on_the_last_replica_is_skipped_on_all():
    data = runs.batches(6)
    data[3]["image"][-1] = np.inf
    config = runs.tiny(train={"accumulate": 1})
    one, two = (runs.make_block(config, n, policy="mixed_float16").run(data) for n in (1, 2))
    for made in (one, two):
        state, weights = made.state, made.weights()
        assert int(state.step.numpy()) == 6
        assert int(state.skipped.numpy()) == 1 and int(state.in_row.numpy()) == 0
        assert int(state.recent_skipped.numpy()[-1]) == 3
        assert float(state.loss_scale.scale.numpy()) == INITIAL_SCALE / 2
        assert all(np.isfinite(value).all() for value in weights.values() if value.dtype.kind == "f")
        assert int(weights["optimizer/adam/iteration"]) == 5
        assert np.isfinite(made.totals.read()["loss"])
    # Each replica holds its own copies: alike to the last bit.
    for variable in two.model.variables:
        first, last = two.strategy.experimental_local_results(variable.value)
        assert np.array_equal(first.numpy(), last.numpy()), variable.path
    # Half a unit in the last place of float16 is 2^-12.
    assert runs.distance(one.weights(), two.weights()) < 8 * 2.0**-12


@pytest.mark.slow
def test_a_skipped_step_leaves_no_trace():
    """The run with a bad batch ends with the weights of the run without that batch."""
    data = runs.batches(4)
    bad = {"image": np.full_like(data[0]["image"], np.inf), "label": data[0]["label"]}
    config = runs.tiny(guard={"nonfinite": "skip"}, train={"accumulate": 1})
    made = runs.make_block(config)
    made.run([*data[:2], bad, *data[2:]])
    other = runs.make_block(config).run(data)
    for path, value in other.weights().items():
        if not path.startswith("counter/"):
            assert np.array_equal(made.weights()[path], value), path


def test_in_float32_the_run_stops_before_the_update():
    data = runs.batches(6)
    data[3]["image"][0] = np.nan
    made = runs.make_block(runs.tiny(train={"accumulate": 1})).run(data)
    assert int(made.state.step.numpy()) == 3 and int(made.state.halted.numpy()) == 1
    assert made.state.offenders.numpy().any()
    assert all(np.isfinite(variable.value.numpy()).all() for variable in made.state.trainable)


@pytest.mark.parametrize("over", ["image", "batch"])
def test_micro_batches_are_the_one_big_batch_without_batch_statistics(over):
    data = runs.batches(4)
    weights = []
    for accumulate in (1, 4):
        config = runs.tiny(
            train={"accumulate": accumulate},
            model={"normalization": "none"},
            loss={"options": {"*": {"over": over}}},
        )
        weights.append(runs.make_block(config).run(data).weights())
    apart, variable = runs.difference(*weights)
    assert apart < 1e-5, variable
