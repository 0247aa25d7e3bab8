"""The state of a run: models, optimizers, averages, counters, and every variable by its path."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import keras
import tensorflow as tf

from configs.reading import durations
from configs.schema import Config
from trainer.stepping.precision import LossScale
from trainer.stepping.task import Phase, Task, trained_by


@dataclasses.dataclass(frozen=True)
class Update:
    """A phase with the variables that it trains and its optimizer.

    Attributes:
      phase: as the task declares it, or None for the one update of a task without phases.
      trained: its models, layers and variables.
      variables: the trainable variables of `trained`, which it changes.
      optimizer: built for them.
    """

    phase: Phase | None
    trained: tuple
    variables: tuple[keras.Variable, ...]
    optimizer: keras.optimizers.Optimizer

    @property
    def name(self) -> str:
        """For paths and tags; empty where there is only one update."""
        return self.phase.name if self.phase is not None else ""

    @property
    def every(self) -> int:
        """It takes part in each so many-th step."""
        return self.phase.every if self.phase is not None else 1

    def penalties(self) -> list[tf.Tensor]:
        """Regularisers and other losses that its layers add."""
        return [loss for part in self.trained if isinstance(part, keras.Layer) for loss in part.losses]


# Steps whose gradient norms are kept for histograms.
NORMS_KEPT = 64


class TrainState:
    """Everything that changes while training, made inside the strategy's scope.

    Attributes:
      task: the models are its attributes.
      updates: the phases of a step in their order.
      trainable: the variables of all updates, each once.
      followed: what is averaged: the trainable variables, and the statistics of the layers between them (batch
        normalisation's), which those of other weights would not fit.
      averages: an exponential moving average of each variable that is followed, or empty.
      loss_scale: the float16 loss scale.
      rate_factor: what every learning rate is multiplied by; 1 until an action lowers it.
      step: steps done, int64: also the position in the data.
      skipped: steps whose update was skipped because a gradient was not finite; in_row: of these, the last in a row.
      recent_skipped: `[8]`, the last steps that were skipped, the newest last; -1 where there were fewer.
      halted: 1 once a non-finite gradient has stopped the run on the device.
      offenders: `[variables]` int32, 1 for each trainable variable whose gradient was not finite at the last such step.
      zero_streak: `[variables]` int32, steps in a row with a gradient of exactly zero.
      norms: `[NORMS_KEPT, variables]`, the norm of each variable's gradient at the last steps, the newest last, -1
        where there were fewer, or its phase had no part; None where config.train.histograms is off. Not saved.
    """

    def __init__(
        self,
        task: Task,
        updates: Iterable[Update],
        config: Config,
        *,
        scales_loss: bool,
        rate_factor: tf.Variable | None = None,
    ):
        self.task, self.updates = task, tuple(updates)
        self.trainable = list({id(v): v for update in self.updates for v in update.variables}.values())
        count = len(self.trainable)
        self.followed = [*self.trainable, *_statistics(self.updates)]
        self.averages = []
        if config.optimizer.ema_decay:
            self.averages = [
                tf.Variable(v.value, trainable=False, dtype=v.dtype, name=f"average/{v.path}") for v in self.followed
            ]
        self.loss_scale = LossScale(scales_loss)
        self.rate_factor = rate_factor if rate_factor is not None else new_rate_factor()
        self.step = _counter(0, "step", tf.int64)
        self.skipped = _counter(0, "skipped", tf.int64)
        self.in_row = _counter(0, "skipped_in_row", tf.int64)
        self.recent_skipped = _counter([-1] * 8, "recent_skipped", tf.int64)
        self.halted = _counter(0, "halted", tf.int32)
        self.offenders = _counter([0] * count, "offenders", tf.int32)
        self.zero_streak = _counter([0] * count, "zero_streak", tf.int32)
        self.norms = None
        if durations.parse(config.train.histograms).amount:
            self.norms = _counter([[-1.0] * count] * NORMS_KEPT, "gradient_norms", tf.float32)

    @property
    def models(self) -> dict[str, keras.Model]:
        return self.task.models()

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The first update's: the only one where there are no phases."""
        return self.updates[0].optimizer

    def variables_by_path(self) -> dict[str, tf.Variable]:
        """Every variable that a continued run needs, by a unique path, in a fixed order."""
        paths = task_variables(self.task)
        named = [(path, v.value) for path, v in paths.items()]
        objective = getattr(self.task, "objective", None)
        named += [(f"loss/{v.path}", v.value) for v in (objective.variables if objective is not None else ())]
        path_of = {id(v): path.removeprefix("model/") for path, v in paths.items()}
        for update in self.updates:
            prefix = f"optimizer/{update.name}/" if update.name else "optimizer/"
            named += [(prefix + v.path, v.value) for v in update.optimizer.variables]
        named += [(f"average/{path_of[id(v)]}", a) for v, a in zip(self.followed, self.averages, strict=False)]
        named += [(v.name.split(":")[0], v) for v in self.loss_scale.variables]
        counters = {
            "step": self.step,
            "skipped": self.skipped,
            "in_row": self.in_row,
            "zero_streak": self.zero_streak,
            "rate_factor": self.rate_factor,
        }
        named += [(f"counter/{name}", v) for name, v in counters.items()]
        return unique(named)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the weights are replaced by their averages, where there are averages."""
        pairs = list(zip(self.followed, self.averages, strict=False))
        # Kept before anything changes, so that the trained weights are put back wherever an interruption comes.
        kept = [tf.identity(variable.value) for variable, _ in pairs]
        try:
            for variable, average in pairs:
                variable.assign(average)
            yield
        finally:
            for (variable, _), weights in zip(pairs, kept, strict=True):
                variable.assign(weights)


def build_updates(task: Task, optimizer_of) -> list[Update]:
    """The task's phases with their variables and optimizers, built; call it inside the strategy's scope.

    Args:
      task: the task.
      optimizer_of: gives the optimizer of a phase, None for a task without phases.
    """
    updates = []
    for phase in task.phases or (None,):
        trained = tuple(trained_by(phase, task))
        variables = tuple({id(v): v for part in trained for v in _trainable(part)}.values())
        optimizer = optimizer_of(phase)
        optimizer.build(list(variables))
        updates.append(Update(phase, trained, variables, optimizer))
    return updates


def task_variables(task: Task) -> dict[str, keras.Variable]:
    """Every variable of a task's models, layers, own variables and seeds, by "model/<path>", in a fixed order.

    The path begins with the attribute's name where the task has more than one model.
    """
    parts: Mapping = {**task.models(), **task.others(), **task.generators()}
    prefix = {name: f"model/{name}/" if len(parts) > 1 else "model/" for name in parts}
    named, seen = [], set()
    for name, part in parts.items():
        for variable in _all_variables(part):
            if id(variable) not in seen:
                seen.add(id(variable))
                named.append((prefix[name] + variable.path, variable))
    return unique(named)


def unique(named: Iterable[tuple[str, object]]) -> dict:
    """Pairs of path and variable as a mapping; equal paths (layers may share a name) get a number."""
    found: dict[str, object] = {}
    for path, variable in named:
        name, number = path, 2
        while name in found:
            name, number = f"{path}#{number}", number + 1
        found[name] = variable
    return found


def new_rate_factor() -> tf.Variable:
    """A variable of 1.0 that multiplies the learning rates."""
    return _counter(1.0, "rate_factor", tf.float32)


def _statistics(updates: Iterable[Update]) -> list[keras.Variable]:
    """The statistics that a forward pass writes into trained layers, in variables made with trainable=False."""
    layers = [part for update in updates for part in update.trained if isinstance(part, keras.Layer)]
    found = {id(v): v for layer in layers for v in layer.non_trainable_variables}
    return [v for v in found.values() if not v.value.trainable and "float" in v.dtype]


def _trainable(part) -> list[keras.Variable]:
    return list(part.trainable_variables) if isinstance(part, keras.Layer) else [part] if part.trainable else []


def _all_variables(part) -> list[keras.Variable]:
    """A layer's variables with the states of its seed generators, which `weights` leaves out."""
    if isinstance(part, keras.Variable):
        return [part]
    if isinstance(part, keras.random.SeedGenerator):
        return [part.state]
    seen, found = set(), []
    for variable in [*part.trainable_variables, *part.non_trainable_variables, *part.variables]:
        if id(variable) not in seen:
            seen.add(id(variable))
            found.append(variable)
    return found


def _counter(value, name: str, dtype) -> tf.Variable:
    return tf.Variable(
        value, trainable=False, dtype=dtype, name=name, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
    )
