"""Optimizers and the learning rate's course."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Config, Optimizer
from trainer.errors import UserError
from trainer.stepping.optimizer import build_optimizer, lower_rate
from trainer.stepping.schedule import WarmupSchedule, build_schedule
from trainer.stepping.state import new_rate_factor


def build(settings, optimizer=None, schedule=None, factor=None):
    rate = build_schedule(settings, schedule, total_steps=10, warmup_steps=0)
    return build_optimizer(settings, rate, factor if factor is not None else new_rate_factor(), optimizer)


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
    optimizer = build(settings)
    found = optimizer.get_config()
    assert {name: found[name] for name in expected} == expected
    # The step clips, accumulates, scales and averages; an optimizer that does it too would do it twice.
    off = ("clipnorm", "global_clipnorm", "clipvalue", "gradient_accumulation_steps", "loss_scale_factor")
    assert not any(found[name] for name in off) and not found["use_ema"]


def test_weight_decay_spares_biases_and_normalisation():
    import keras

    settings = Optimizer(name="adamw", weight_decay=0.5, learning_rate=0.1, schedule="constant")
    optimizer = build(settings)
    names = ["kernel", "bias", "gamma", "beta"]
    variables = [keras.Variable(np.ones(2, "float32"), name=name) for name in names]
    optimizer.build(variables)
    optimizer.apply([np.zeros(2, "float32")] * 4, variables)
    assert [float(v.numpy()[0]) for v in variables] == pytest.approx([0.95, 1.0, 1.0, 1.0])


def test_any_optimizer_of_keras_goes_by_its_name_with_its_options():
    lion = build(Optimizer(name="lion", options={"beta_2": 0.95}, weight_decay=0.0))
    assert isinstance(lion, keras.optimizers.Lion) and lion.beta_2 == 0.95
    with pytest.raises(UserError, match=r"Lion\(learning_rate, betas\) raised"):
        build(Optimizer(name="lion", options={"betas": 0.95}, weight_decay=0.0))


def test_an_object_keeps_its_own_rate_and_an_action_can_lower_it():
    factor = new_rate_factor()
    optimizer = keras.optimizers.Lion(1e-4)
    assert build(Optimizer(learning_rate=1.0), optimizer, factor=factor) is optimizer
    assert float(optimizer.learning_rate) == pytest.approx(1e-4)
    factor.assign(0.5)
    assert float(optimizer.learning_rate) == pytest.approx(5e-5)
    # Used again, in another run, it begins with the rate that it was made with.
    optimizer.build([keras.Variable([1.0])])
    assert float(build(Optimizer(), optimizer).learning_rate) == pytest.approx(1e-4)


def test_a_schedule_is_a_function_of_the_step_or_of_kerass():
    settings = Optimizer(name="adam", weight_decay=0.0)
    halving = build(settings, schedule=lambda step: 0.1 / (1.0 + step))
    assert float(halving.learning_rate) == pytest.approx(0.1)
    halving.iterations.assign(1)
    assert float(halving.learning_rate) == pytest.approx(0.05)
    decay = keras.optimizers.schedules.ExponentialDecay(0.3, 10, 0.5)
    assert float(build(settings, schedule=decay).learning_rate) == pytest.approx(0.3)

    def by_the_run(learning_rate, total_steps):
        return lambda step: learning_rate * total_steps

    assert float(build(settings, schedule=by_the_run).learning_rate) == pytest.approx(3e-2)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (3, "is of type int"),
        (lambda step: 0.1 if step < 3 else 0.01, r"test_optimizer.py:\d+ raised .*tf.where\(step < 100, 0.1, 0.01\)"),
        (lambda step: math.cos(step), "raised TypeError.*compute with TensorFlow"),
        (lambda step: None, "gave None, of type NoneType, and a rate is a number"),
        (lambda step: tf.ones(3), r"gave a tensor of shape \[3\], and a rate is one number"),
        (
            lambda step: 0.1 - step,
            r"gives -4.9 at step 5, -8.9 at step 9: a learning rate is a finite number, 0 or more",
        ),
        (lambda step, epoch: 0.1, r"is called with the step alone, and takes \(step, epoch\)"),
        (lambda learning_rate: learning_rate, "gave 0.003, of type float: .*returns a function of the step"),
        (keras.optimizers.schedules.CosineDecay, "missing 2 required .*Pass the object"),
    ],
)
def test_a_schedule_that_gives_no_rates_is_refused_before_the_first_step(schedule, words):
    with pytest.raises(UserError, match="(?s)" + words):
        build(Optimizer(name="adam"), schedule=schedule)


def test_an_optimizer_whose_copy_would_be_another_is_refused():
    class Heavy(keras.optimizers.SGD):
        def __init__(self, learning_rate=0.1, mass=1, **options):
            super().__init__(learning_rate, **options)
            self.mass = mass

    used = Heavy(mass=3)
    used.build([keras.Variable([1.0])])
    with pytest.raises(UserError, match=r"(?s)Heavy is copied.*leaves out mass \(3 became 1\).*get_config\(self\)"):
        build(Optimizer(), used)


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (lambda: keras.optimizers.Adam(clipnorm=1.0), r"set --config.optimizer.clip_norm=…"),
        (lambda: keras.optimizers.Adam(use_ema=True, gradient_accumulation_steps=2), "config.train.accumulate"),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), "mixed_float16"),
        (lambda: 3, "not a keras.optimizers.Optimizer"),
        (lambda: "adm", "Did you mean 'adam'"),
    ],
)
def test_an_optimizer_that_does_the_steps_work_is_refused(optimizer, words):
    with pytest.raises(UserError, match=words):
        build(Optimizer(), optimizer())


def test_apply_gradients_of_ones_own_would_not_be_called():
    class Noisy(keras.optimizers.SGD):
        def apply_gradients(self, pairs, **options):
            return super().apply_gradients([(0.0 * gradient, variable) for gradient, variable in pairs], **options)

    with pytest.raises(UserError, match=r"Noisy.apply_gradients is not called here. .*apply\(grads"):
        build_optimizer(Optimizer(), lambda step: 0.1, new_rate_factor(), Noisy(1e-2))


def test_a_lower_rate_is_advised_where_it_is_said():
    config = Config(optimizer=Optimizer(learning_rate=0.1))
    assert lower_rate(config, None) == "Lower --config.optimizer.learning_rate (now 0.1)"
    assert "handed in, Lion(learning_rate=…)" in lower_rate(config, keras.optimizers.Lion(1.0))
