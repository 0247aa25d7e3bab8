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
from trainer.models.inputs import said_by, users_line
from trainer.parts import name_of, resolve, takes

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
      UserError: there is no such name, it is no schedule, or gives no rates.
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
    name = f"schedule={name_of(given)}"
    made = _called_with(
        part, name, learning_rate=config.learning_rate, total_steps=total_steps, warmup_steps=warmup_steps
    )
    if not callable(made):
        raise UserError(
            f"{name} gave {made!r}, of type {type(made).__name__}: it takes learning_rate, total_steps or warmup_steps "
            "and returns a function of the step, or it takes the step alone and returns the rate."
        )
    if not takes(made, 1):
        raise UserError(f"{name} is called with the step alone, and takes {inspect.signature(made)}.")
    made = made if isinstance(made, Schedule) else _OfAFunction(made)
    _check_rates(made, name, total_steps)
    return made


def _check_rates(schedule: Schedule, name: str, total_steps: int) -> None:
    """Whether a schedule of the user's gives rates at the first, the middle and the last step, computed in a graph.

    Raises:
      UserError: it gives no scalar, a rate below 0 or none that is finite, or cannot be computed from a tensor.
    """
    spec = tf.TensorSpec([], tf.int64)
    # Of a branch the rate at each step is wanted as it will be computed: in a graph, without AutoGraph.
    function = tf.function(lambda step: tf.cast(_scalar(schedule(step), name), tf.float32), [spec], autograph=False)
    try:
        rates = {step: float(function(tf.constant(step, tf.int64))) for step in (0, total_steps // 2, total_steps - 1)}
    except UserError:
        raise
    except Exception as error:
        place, code = users_line(error)
        raise UserError(
            f"{name}: {place or 'it'} raised {said_by(error).partition('. ')[0]}"
            + (f"\n    {code}" if code else "")
            + "\n  The step is a float32 tensor: compute with TensorFlow, tf.where(step < 100, 0.1, 0.01) in place of "
            "`if`, tf.cos in place of math.cos."
        ) from error
    wrong = [f"{rate:g} at step {step}" for step, rate in rates.items() if not 0 <= rate < math.inf]
    if wrong:
        raise UserError(f"{name} gives {', '.join(wrong)}: a learning rate is a finite number, 0 or more.")


def _scalar(rate: Any, name: str) -> tf.Tensor:
    if isinstance(rate, (str, bytes, type(None))):
        raise UserError(f"{name} gave {rate!r}, of type {type(rate).__name__}, and a rate is a number.")
    rate = tf.convert_to_tensor(rate)
    if rate.shape.rank != 0:
        raise UserError(f"{name} gave a tensor of shape {rate.shape.as_list()}, and a rate is one number.")
    return rate


def _called_with(part: Callable, what: str, **known) -> Any:
    """A factory is called with what it names of `known`; a function of the step is returned as it is."""
    try:
        parameters = inspect.signature(part).parameters
    except ValueError:
        return part  # of C: it says nothing, and the first rate shows what it gives
    given = {name: value for name, value in known.items() if name in parameters}
    if not given and not isinstance(part, type):
        return part
    try:
        return part(**given)
    except TypeError as error:
        raise UserError(
            f"{what}: {error}. It is called with those of {', '.join(known)} that it names, here with "
            f"{', '.join(given) or 'none'}.\n  Pass the object, keras.optimizers.schedules.CosineDecay(…), or a "
            "function that makes it: def schedule(learning_rate, total_steps): return …"
        ) from error
