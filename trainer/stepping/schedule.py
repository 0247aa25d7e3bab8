"""The learning rate over a run."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from configs.reading.fields import all_fields
from configs.schema import Optimizer
from trainer.errors import UserError
from trainer.parts import resolve

SCHEDULES = all_fields()["optimizer.schedule"].knob.names

Schedule = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable("gradline")
class WarmupSchedule(Schedule):
    """Linear rise over `warmup` steps, then constant, cosine or polynomial fall to `final_fraction` of the peak.

    With t the step, w the warm-up, T the run's length and u = (t - w) / (T - w) clipped to [0, 1]:
    cosine: f + (1 - f) (1 + cos(pi u)) / 2 (Loshchilov, Hutter 2017); poly: f + (1 - f) (1 - u)^power
    (Chen et al. 2017).
    The rate is above 0 from the first step on: at step t of the warm-up it is peak (t + 1) / (w + 1).
    """

    def __init__(self, peak: float, kind: str, total: int, warmup: int, final_fraction: float, power: float):
        self.peak, self.kind, self.total = peak, kind, total
        self.warmup, self.final_fraction, self.power = warmup, final_fraction, power

    def __call__(self, step):
        ops = keras.ops
        step = ops.cast(step, "float32")
        u = ops.clip((step - self.warmup) / max(1, self.total - self.warmup), 0.0, 1.0)
        if self.kind == "cosine":
            fall = 0.5 * (1.0 + ops.cos(math.pi * u))
        elif self.kind == "poly":
            fall = (1.0 - u) ** self.power
        else:
            fall = ops.ones_like(u)
        low = self.final_fraction if self.kind != "constant" else 0.0
        rise = ops.minimum(1.0, (step + 1.0) / (self.warmup + 1.0))
        return self.peak * rise * (low + (1.0 - low) * fall)

    def get_config(self):
        return dict(
            peak=self.peak,
            kind=self.kind,
            total=self.total,
            warmup=self.warmup,
            final_fraction=self.final_fraction,
            power=self.power,
        )


class Scaled(Schedule):
    """A rate times a variable, so that an action can lower it during the run.

    Args:
      rate: a schedule, or a number.
      factor: scalar variable.
    """

    def __init__(self, rate: Schedule | float, factor: tf.Variable):
        self.rate, self.factor = rate, factor

    def __call__(self, step):
        rate = self.rate(step) if callable(self.rate) else self.rate
        return tf.cast(rate, tf.float32) * tf.convert_to_tensor(self.factor)

    def get_config(self):
        return {"rate": self.rate, "factor": float(self.factor.numpy())}


class _OfAFunction(Schedule):
    def __init__(self, function: Callable):
        self.function = function

    def __call__(self, step):
        return self.function(tf.cast(step, tf.float32))

    def get_config(self):
        return {"function": self.function}


def build_schedule(config: Optimizer, schedule: Any, *, total_steps: int, warmup_steps: int) -> Schedule:
    """The schedule that a config names, or one of the user's.

    Args:
      config: the config's section.
      schedule: a Keras schedule, a function step -> rate, a class of either called as
        `schedule(learning_rate=, total_steps=, warmup_steps=)` with those that it names, a name; None takes
        `config.schedule`.
      total_steps, warmup_steps: of the run.

    Raises:
      UserError: there is no such name, or it is no schedule.
    """
    given = config.schedule if schedule is None else schedule
    if isinstance(given, str) and given in SCHEDULES:
        return WarmupSchedule(
            config.learning_rate, given, total_steps, warmup_steps, config.final_fraction, config.power
        )
    part = resolve(given, "config.optimizer.schedule", dict.fromkeys(SCHEDULES))
    if isinstance(part, Schedule):
        return part
    if not callable(part):
        raise UserError(
            f"schedule={part!r} is of type {type(part).__name__}: pass a Keras schedule or a function of the step."
        )
    made = _called_with(part, learning_rate=config.learning_rate, total_steps=total_steps, warmup_steps=warmup_steps)
    return made if isinstance(made, Schedule) else _OfAFunction(made)


def _called_with(part: Callable, **known) -> Any:
    """Calls a factory with the arguments of `known` that it names; returns a function of the step as it is."""
    names = [p.name for p in inspect.signature(part).parameters.values()]
    given = {name: value for name, value in known.items() if name in names}
    return part(**given) if given or isinstance(part, type) else part
