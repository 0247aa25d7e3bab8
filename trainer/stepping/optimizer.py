"""Config -> Keras optimizer."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from configs.schema import Config, Optimizer
from trainer.errors import UserError, numbered
from trainer.parts import name_of, resolve
from trainer.stepping.schedule import Scaled, Schedule
from trainer.stepping.task import Phase

# Keras's, by their names in lower case.
OPTIMIZERS = {
    name.lower(): value
    for name, value in vars(keras.optimizers).items()
    if inspect.isclass(value)
    and issubclass(value, keras.optimizers.Optimizer)
    # One of these is a base class, and two wrap other optimizers.
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
}

# Fields of the config by optimizer; other optimizers take `optimizer.options`.
_FIELDS = {
    "adam": ("beta_1", "beta_2", "epsilon"),
    "adamw": ("beta_1", "beta_2", "epsilon", "weight_decay"),
    "sgd": ("momentum", "nesterov"),
}

# The step does these after the reduction over replicas. An optimizer would do them before it, with another result on
# two replicas.
_OF_THE_STEP = {
    "clipnorm": "--config.optimizer.clip_norm=…",
    "clipvalue": "--config.optimizer.clip_norm=…",
    "global_clipnorm": "--config.optimizer.clip_norm=…",
    "use_ema": "--config.optimizer.ema_decay=…",
    "gradient_accumulation_steps": "--config.train.accumulate=…",
    "loss_scale_factor": "--config.precision=…",
}


def build_optimizer(
    config: Optimizer, schedule: Schedule, factor: tf.Variable, optimizer: Any = None, *, field: str = "optimizer"
) -> keras.optimizers.Optimizer:
    """Builds the optimizer; call it inside the strategy's scope.

    Clipping, accumulation, averaging and loss scaling are done by the step: Keras's optimizers do them before the
    reduction over replicas, with another result on two of them.

    Args:
      config: the config's section.
      schedule: the learning rate of an optimizer by name.
      factor: scalar variable that multiplies the rate.
      optimizer: a Keras optimizer, which keeps its own rate, or its class; a name; None takes `config.name`.
      field: the field or argument that it came from, for messages.

    Raises:
      UserError: there is no such optimizer, or it would do what the step does.
    """
    given = config.name if optimizer is None else optimizer
    part = resolve(given, "config.optimizer.name" if optimizer is None else field, OPTIMIZERS)
    if isinstance(part, keras.optimizers.Optimizer):
        made = _in_scope(part)
    elif inspect.isclass(part) and issubclass(part, keras.optimizers.Optimizer):
        made = _of_class(part, given, config, schedule, field)
    else:
        made = part(learning_rate=schedule, **config.options) if callable(part) else part
    if not isinstance(made, keras.optimizers.Optimizer):
        raise UserError(
            f"{field}={name_of(part)} is of type {type(made).__name__}, not a keras.optimizers.Optimizer.\n"
            "  Pass an object (keras.optimizers.Lion(1e-4)), a class, or a function that takes learning_rate."
        )
    _check(made, field)
    by = next(base for base in type(made).__mro__ if "apply_gradients" in vars(base))
    if not by.__module__.startswith("keras."):
        raise UserError(
            f"{field}={name_of(part)}: {by.__name__}.apply_gradients is not called here. Put what it does into "
            "apply(grads, trainable_variables), or into update_step(gradient, variable, learning_rate)."
        )
    made.learning_rate = Scaled(_rate_of(made), factor)
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        # Keras sums gradients over the replicas before it applies them, and the step's are summed already. There is no
        # public way to switch that off; `made` belongs to this run alone (see `_in_scope`).
        made._all_reduce_sum_gradients = lambda pairs: pairs
    return made


def keep_their_rates(phases: Sequence[Phase], optimizer: Any) -> bool:
    """Whether each optimizer is an object, whose rate the config does not say.

    Args:
      phases: of the task; none of most.
      optimizer: what was handed in for those that have none of their own.
    """
    own = [optimizer if phase.optimizer is None else phase.optimizer for phase in phases] or [optimizer]
    return all(isinstance(each, keras.optimizers.Optimizer) for each in own)


def lower_rate(config: Config, optimizer: Any) -> str:
    """Where a lower rate is said: by the config, or to the optimizer that was handed in with one of its own."""
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return f"Lower the rate of the optimizer that was handed in, {type(optimizer).__name__}(learning_rate=…)"
    return f"Lower --config.optimizer.learning_rate (now {config.optimizer.learning_rate:g})"


def scaled_rate(optimizer: keras.optimizers.Optimizer) -> Scaled:
    """The rate of an optimizer built here."""
    # There is no public way to an optimizer's schedule: `learning_rate` is its current value.
    return optimizer._learning_rate


def _rate_of(optimizer: keras.optimizers.Optimizer) -> Schedule | float:
    """The schedule or number that an optimizer was made with, without an earlier run's wrapper around it."""
    rate = optimizer._learning_rate  # as in `scaled_rate`
    if not isinstance(rate, Schedule):
        return float(optimizer.learning_rate.numpy())
    return rate.rate if isinstance(rate, Scaled) else rate


def _of_class(class_, name: Any, config: Optimizer, schedule: Schedule, field: str):
    options = {option: getattr(config, option) for option in _FIELDS.get(name, ()) if isinstance(name, str)}
    if name == "sgd":
        options["nesterov"] = config.nesterov and config.momentum > 0
    options |= config.options
    try:
        made = class_(learning_rate=schedule, **options)
    except (TypeError, ValueError) as error:
        called = f"{class_.__name__}({', '.join(['learning_rate', *options])})"
        raise UserError(f"{field}: {called} raised {type(error).__name__}: {error}") from error
    if options.get("weight_decay"):
        # Biases and normalisation gains do not overfit; pulling them to zero only shifts the function.
        made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made


def _in_scope(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The user's object; on several replicas a copy of it whose variables are mirrored."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1 and not optimizer.built:
        return optimizer
    made = type(optimizer).from_config({**optimizer.get_config(), "learning_rate": _rate_of(optimizer)})
    lost = [
        f"{name} ({value!r} became {getattr(made, name, None)!r})"
        for name, value in vars(optimizer).items()
        if isinstance(value, (bool, int, float, str)) and name != "name" and not name.startswith("_")
        if name not in ("built", "auto") and getattr(made, name, None) != value
    ]
    if lost:
        raise UserError(
            f"The optimizer {type(optimizer).__name__} is copied, for several replicas or another run, and its "
            f"get_config leaves out {', '.join(lost)}.\n  Write def get_config(self): return super().get_config() | "
            "{…}, or pass the class or a function that makes it."
        )
    return made


def _check(optimizer: keras.optimizers.Optimizer, field: str) -> None:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise UserError(
            f"{field}: LossScaleOptimizer decides by one replica's gradients whether a step overflowed, and the others "
            "go on. The step scales the loss itself: pass the inner optimizer, and config.precision=mixed_float16."
        )
    problems = [
        f"{field}.{name}={getattr(optimizer, name)!r} acts before the gradients of the replicas are summed: leave it "
        f"out and set {instead}"
        for name, instead in _OF_THE_STEP.items()
        if getattr(optimizer, name, None)
    ]
    if problems:
        raise UserError(numbered(problems))
