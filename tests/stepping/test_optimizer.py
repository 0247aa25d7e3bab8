"""Optimizers and the learning rate's course."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Optimizer
from trainer.stepping.optimizer import WarmupSchedule, build_optimizer


def rates(steps, **changes):
    settings = dict(peak=1.0, kind="cosine", total=100, warmup=10, final_fraction=0.1, power=0.9)
    schedule = WarmupSchedule(**{**settings, **changes})
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize("kind", ["constant", "cosine", "poly"])
def test_the_rate_rises_over_the_warm_up_and_reaches_its_peak(kind):
    early = rates(range(11), kind=kind)
    np.testing.assert_allclose(early, [(step + 1) / 11 for step in range(11)], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "halfway", "end"),
    [("constant", 1.0, 1.0), ("cosine", 0.55, 0.1), ("poly", 0.1 + 0.9 * 0.5**0.9, 0.1)],
)
def test_then_it_falls_to_its_final_fraction(kind, halfway, end):
    assert rates([55, 100, 1000], kind=kind) == pytest.approx([halfway, end, end], rel=1e-6)


def test_without_warm_up_the_first_step_has_the_peak():
    assert rates([0], warmup=0) == [1.0]
    assert rates([25], warmup=0, final_fraction=0.0) == pytest.approx([0.5 * (1 + math.cos(math.pi / 4))])


def test_a_run_that_is_all_warm_up_has_finite_rates():
    assert np.isfinite(rates(range(12), total=10, warmup=10)).all()


def test_the_schedule_comes_back_from_its_config():
    schedule = WarmupSchedule(1.0, "poly", 100, 10, 0.1, 0.9)
    again = WarmupSchedule.from_config(schedule.get_config())
    assert [float(again(s)) for s in (0, 50)] == [float(schedule(s)) for s in (0, 50)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Optimizer(name="adam", beta_1=0.8, beta_2=0.9, epsilon=1e-3), {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
        (Optimizer(name="adamw", weight_decay=0.3), {"weight_decay": 0.3}),
        (Optimizer(name="sgd", momentum=0.5, nesterov=True), {"momentum": 0.5, "nesterov": True}),
        (Optimizer(name="sgd", momentum=0.0, nesterov=True), {"momentum": 0.0, "nesterov": False}),
    ],
)
def test_the_settings_reach_the_optimizer(settings, expected):
    optimizer = build_optimizer(settings, total_steps=10, warmup_steps=0)
    found = optimizer.get_config()
    assert {name: found[name] for name in expected} == expected
    # The step clips, accumulates, scales and averages; an optimizer that does it too would do it twice.
    off = ("clipnorm", "global_clipnorm", "clipvalue", "gradient_accumulation_steps", "loss_scale_factor")
    assert not any(found[name] for name in off) and not found["use_ema"]


def test_weight_decay_spares_biases_and_normalisation():
    import keras

    settings = Optimizer(name="adamw", weight_decay=0.5, learning_rate=0.1, schedule="constant")
    optimizer = build_optimizer(settings, total_steps=10, warmup_steps=0)
    names = ["kernel", "bias", "gamma", "beta"]
    variables = [keras.Variable(np.ones(2, "float32"), name=name) for name in names]
    optimizer.build(variables)
    optimizer.apply([np.zeros(2, "float32")] * 4, variables)
    assert [float(v.numpy()[0]) for v in variables] == pytest.approx([0.95, 1.0, 1.0, 1.0])


@pytest.mark.parametrize(("name", "dtype"), [("adam", "float32"), ("adamw", "float32"), ("adamw", "float64")])
def test_adam_is_that_of_keras(name, dtype):
    settings = Optimizer(name=name, weight_decay=0.01 if name == "adamw" else 0.0, schedule="cosine")
    ours = build_optimizer(settings, total_steps=10, warmup_steps=3)
    theirs = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[name].from_config(ours.get_config())
    random = np.random.default_rng(0)
    start, *gradients = (size * random.normal(size=(3, 4)) for size in (1.0, 1.0, 1e-6, 1e3, 0.0, 1.0))
    ends = []
    for optimizer in (ours, theirs):
        variable = keras.Variable(start, dtype=dtype, name="kernel")
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
        ends.append([variable, *optimizer.variables])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5)  # 1 - 0.999 in float32 is off by 1.3e-5
    # Under the same names, so that a checkpoint does not tell them apart.
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
