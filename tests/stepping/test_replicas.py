"""One meaning on any number of replicas: the same global batches give the same weights, and the same decisions."""

import functools

import numpy as np
import pytest

from tests.stepping import replica_runs as runs
from trainer.stepping.precision import INITIAL_SCALE

STEPS = 10
LOSSES = {
    "dice+cross_entropy": {"loss": {"name": "dice+cross_entropy"}},
    "dice": {"loss": {"name": "dice"}},
    "dice, larger": {
        "loss": {"name": "dice"}, "train": {"accumulate": 1}, "model": {"width": 16}, "augment": {"crop": (48, 48)},
    },
    "batch dice": {"loss": {"name": "dice", "options": {"*": {"over": "batch"}}}},
    "cross_entropy": {"loss": {"name": "cross_entropy"}},
    "group": {"model": {"normalization": "group"}},
    "with dropout": {"loss": {"name": "tversky"}, "model": {"normalization": "none", "dropout": 0.3}},
}


@functools.cache
def trained(losses, replicas, steps=STEPS):
    """A run with clipping, averaged weights and, but where LOSSES says otherwise, accumulation and synchronised
    batch normalisation.

    Returns:
      The run, its variables after it, and its report.
    """
    make = runs.make if losses in ("dice+cross_entropy", "with dropout") else runs.make_block
    # Eight replicas leave one image to each: nothing to accumulate, and with batch statistics another thing.
    changes = LOSSES[losses] if replicas < 8 else {**LOSSES[losses], "train": {"accumulate": 1}}
    config = runs.tiny(**changes)
    made = make(config, replicas).run(runs.batches(steps, size=config.augment.crop[0]))
    return made, made.weights(), made.totals.read()


def gradients(weights):
    """Adam's first moments after one step: a tenth of the gradient that all replicas together arrived at."""
    return {path: value for path, value in weights.items() if path.startswith("optimizer/") and "momentum" in path}


def assert_same_gradients(one, other):
    """Within 1e-6 of the largest: the rounding of float32 sums in another order."""
    largest = max(np.abs(value).max() for value in one.values())
    assert len(one) > 3 and largest > 1e-3
    for path, value in one.items():
        np.testing.assert_allclose(other[path], value, rtol=0, atol=1e-6 * largest, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("losses", "replicas"),
    [*((name, 2) for name in LOSSES), ("dice, larger", 4), ("group", 8)],
)
def test_one_step_has_the_same_gradients_on_any_number_of_replicas(losses, replicas):
    (_, one, report), (_, many, report_of_many) = trained(losses, 1, 1), trained(losses, replicas, 1)
    assert_same_gradients(gradients(one), gradients(many))
    # What the step has written besides: the moving statistics and the state of random generators.
    for path, value in one.items():
        if "moving_" in path or "seed" in path:
            np.testing.assert_allclose(many[path], value, rtol=1e-6, atol=1e-6, err_msg=path)
    assert report_of_many == pytest.approx(report, rel=1e-5)


@pytest.mark.parametrize("accumulate", [2, 4, 8])
def test_one_step_has_the_same_gradients_in_any_number_of_micro_batches(accumulate):
    found = []
    for parts in (1, accumulate):
        config = runs.tiny(train={"accumulate": parts}, model={"normalization": "group"})
        found.append(gradients(runs.make_block(config).run(runs.batches(1)).weights()))
    assert_same_gradients(*found)


def test_the_weights_have_moved_and_differ_from_their_averages():
    """Without this the equality above could hold for a run that trains nothing."""
    start = runs.make(runs.tiny(**LOSSES["dice+cross_entropy"])).weights()
    _, end, _ = trained("dice+cross_entropy", 1)
    kernel = "down0_1_conv/kernel"
    assert runs.difference({"": start[f"model/{kernel}"]}, {"": end[f"model/{kernel}"]})[0] > 1e-3
    assert runs.difference({"": end[f"average/{kernel}"]}, {"": end[f"model/{kernel}"]})[0] > 1e-4


def test_another_number_of_steps_in_a_call_does_not_trace_again():
    made, _, _ = trained("dice+cross_entropy", 1)
    made.run(runs.batches(3))
    made.run(runs.batches(2))
    assert made.train_steps.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_bfloat16_on_two_replicas_is_nearer_to_one_than_to_float32():
    config = runs.tiny(train={"accumulate": 1})
    data = runs.batches(STEPS)
    one = runs.make_block(config, policy="mixed_bfloat16").run(data).weights()
    two = runs.make_block(config, 2, policy="mixed_bfloat16").run(data).weights()
    exact = runs.make_block(config).run(data).weights()
    assert runs.distance(one, two) < runs.distance(one, exact)
    # Half a unit in the last place of bfloat16 is 2^-9.
    assert runs.distance(one, two) < 4 * 2.0**-9


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
    for variable in two.state.model.variables:
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
            train={"accumulate": accumulate}, model={"normalization": "none"},
            loss={"options": {"*": {"over": over}}},
        )  # fmt: skip
        weights.append(runs.make_block(config).run(data).weights())
    apart, variable = runs.difference(*weights)
    assert apart < 1e-5, variable
