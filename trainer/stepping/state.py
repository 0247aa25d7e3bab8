"""What a run is at a step: model, optimizer, averages, counters, and every variable of it by its path."""

from __future__ import annotations

import keras
import tensorflow as tf

from configs.schema import Config
from trainer.stepping.precision import LossScale


class TrainState:
    """Everything that changes while training, made inside the strategy's scope.

    Attributes:
      model, optimizer: built; the optimizer too, so that its variables exist before the first step.
      averages: an exponential moving average of each trainable variable, or empty.
      loss_scale: the float16 loss scale.
      step: steps done, int64: also the position in the data.
      skipped: steps whose update was skipped because a gradient was not finite; in_row: of these, the last in a row.
      recent_skipped: `[8]`, the last steps that were skipped, the newest last; -1 where there were fewer.
      halted: 1 once a non-finite gradient has stopped the run on the device.
      offenders: `[variables]` int32, 1 for each trainable variable whose gradient was not finite at the last such step.
      zero_streak: `[variables]` int32, steps in a row with a gradient of exactly zero.
    """

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer, config: Config, *, scales_loss: bool):
        self.model, self.optimizer = model, optimizer
        self.trainable = list(model.trainable_variables)
        optimizer.build(self.trainable)
        count = len(self.trainable)
        self.averages = []
        if config.optimizer.ema_decay:
            self.averages = [
                tf.Variable(v.value, trainable=False, dtype=v.dtype, name=f"average/{v.path}") for v in self.trainable
            ]
        self.loss_scale = LossScale(scales_loss)
        self.step = _counter(0, "step", tf.int64)
        self.skipped = _counter(0, "skipped", tf.int64)
        self.in_row = _counter(0, "skipped_in_row", tf.int64)
        self.recent_skipped = _counter([-1] * 8, "recent_skipped", tf.int64)
        self.halted = _counter(0, "halted", tf.int32)
        self.offenders = _counter([0] * count, "offenders", tf.int32)
        self.zero_streak = _counter([0] * count, "zero_streak", tf.int32)

    def variables_by_path(self) -> dict[str, tf.Variable]:
        """Every variable that a continued run needs, by a unique path, in a fixed order.

        Two variables of the same path (a user's layers may share a name) are told apart by a number.
        """
        named = [(f"model/{v.path}", v.value) for v in _all_variables(self.model)]
        named += [(f"optimizer/{v.path}", v.value) for v in self.optimizer.variables]
        named += [(f"average/{v.path}", a) for v, a in zip(self.trainable, self.averages, strict=False)]
        named += [(v.name.split(":")[0], v) for v in self.loss_scale.variables]
        counters = {"step": self.step, "skipped": self.skipped, "in_row": self.in_row, "zero_streak": self.zero_streak}
        named += [(f"counter/{name}", v) for name, v in counters.items()]
        unique: dict[str, tf.Variable] = {}
        for path, variable in named:
            name, number = path, 2
            while name in unique:
                name, number = f"{path}#{number}", number + 1
            unique[name] = variable
        return unique

    def swap_averages(self) -> None:
        """Exchanges the weights with their averages; called before an evaluation or export, and again after it."""
        for variable, average in zip(self.trainable, self.averages, strict=False):
            weights = tf.identity(variable.value)
            variable.assign(average)
            average.assign(weights)


def _all_variables(model: keras.Model) -> list:
    """The model's variables with the states of its seed generators, which `model.weights` leaves out."""
    seen, found = set(), []
    for variable in [*model.trainable_variables, *model.non_trainable_variables, *model.variables]:
        if id(variable) not in seen:
            seen.add(id(variable))
            found.append(variable)
    return found


def _counter(value, name: str, dtype) -> tf.Variable:
    return tf.Variable(
        value, trainable=False, dtype=dtype, name=name, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
    )
