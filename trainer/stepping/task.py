"""A task: what is learned from a batch. The step does the rest, for every task alike.

Segmentation (`trainer.stepping.segmentation`) is the built-in one. A task of your own is a class with models and with
`losses(batch, training)`; where several optimizers take turns it has phases, too.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from trainer.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """One update of a step: which terms are minimised, by which models, with which optimizer.

    Attributes:
      name: for reports and checkpoints: "generator".
      terms: names of the terms of `Task.losses` whose sum it minimises; empty takes all.
      models: names of the task's models that it trains; empty takes all.
      optimizer: a Keras optimizer, the name of one, or None for one as the config says. Each phase has its own.
      every: it is part of each so many-th step alone: with 5 the generator moves once after five updates of its
        critic. A rate that the config says goes by the phase's own updates and ends with the run.
    """

    name: str
    terms: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    optimizer: Any = None
    every: int = 1


class Outcome(NamedTuple):
    """What a share of the batch gives.

    terms: name -> scalar; their sum is the loss.
    ratios: name -> (numerator, denominator), scalars that are added up over shares and steps and only then divided; for
      reports alone.
    """

    terms: Mapping[str, tf.Tensor]
    ratios: Mapping[str, tuple[tf.Tensor, tf.Tensor]] = {}


class Task:
    """Base of all tasks.

    Models are attributes, made in `__init__`, which is called inside the strategy's scope with those of `config`,
    `data` and `model` that it names:

        class TwoHeads(Task):
            def __init__(self, model):
                self.model = model

            def losses(self, batch, training):
                mask, edge = self.model(batch["image"], training=training)
                return {"mask": mask_loss(batch["label"], mask), "edge": edge_loss(batch["edge"], edge)}

    Attributes:
      phases: the updates of a step, one after the other; empty is one update of all models by all terms. A phase writes
        no statistics (batch normalisation's) of models that it does not train.
      batchwide: whether `losses` calls `global_sum`; None finds it out, at the cost of tracing the forward pass twice
        where there are micro-batches.
    """

    phases: tuple[Phase, ...] = ()
    batchwide: bool | None = None

    def losses(self, batch: Mapping[str, tf.Tensor], training: bool) -> Mapping[str, tf.Tensor]:
        """The named terms of one share of the global batch.

        Args:
          batch: the tensors of the examples by key, `[share of the batch, …]`: "image", usually "label", "index", and
            whatever else the examples have.
          training: for the models.

        Returns:
          Name -> scalar: the mean over the share's examples of what is minimised. A tensor of more values is averaged.
          A method that also takes `phase` is called with the name of the phase at hand and may leave out what that does
          not need.
        """
        raise NotImplementedError(f"{type(self).__name__} has no losses(self, batch, training).")

    def predict(self, batch: Mapping[str, tf.Tensor]) -> Any:
        """What evaluation and prediction take for the result of a batch; by default the first model's output."""
        return next(iter(self.models().values()))(batch["image"], training=False)

    def after_update(self) -> None:
        """Called once a step, after the weights have moved, outside of the replicas: `assign` to what follows them."""
        return None  # AutoGraph cannot convert a function without a statement

    def outcome(self, batch: Mapping[str, tf.Tensor], training: bool, phase: str = "") -> Outcome:
        """`losses` with what is reported besides; the step calls this."""
        extra = {"phase": phase} if "phase" in inspect.signature(self.losses).parameters else {}
        return Outcome(self.losses(batch, training, **extra))

    def models(self) -> dict[str, keras.Model]:
        """The models by attribute name, in the order in which they were set."""
        return {name: value for name, value in vars(self).items() if isinstance(value, keras.Model)}

    def others(self) -> dict[str, keras.Layer | keras.Variable]:
        """Layers and Keras variables that are attributes by themselves, by attribute name."""
        kinds = (keras.Layer, keras.Variable)
        return {
            name: value
            for name, value in vars(self).items()
            if isinstance(value, kinds) and not isinstance(value, keras.Model)
        }


def build_task(task: Any, *, config, data, model: Any) -> Task:
    """A task from what a user gave: a `Task`, or a class or function that is called in the strategy's scope.

    Args:
      task: as above.
      config, data: of the run; handed over where the class or function names them.
      model: a function without arguments that builds the configured model; called only where "model" is named.

    Raises:
      UserError: it cannot be called so, or does not give a `Task`.
    """
    if not isinstance(task, Task):
        name = getattr(task, "__name__", type(task).__name__)
        if not callable(task):
            raise UserError(f"task={task!r} is of type {type(task).__name__}: hand in a Task, or its class.")
        given = {"config": lambda: config, "data": lambda: data, "model": model}
        parameters = inspect.signature(task).parameters
        unknown = [
            p.name
            for p in parameters.values()
            if p.name not in given and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if unknown:
            raise UserError(
                f"task={name}: it also needs {', '.join(unknown)}, and is called with those of config, data and model "
                "that it names.\n  Give the others defaults, or hand in the object: task=MyTask(…)."
            )
        task = task(**{key: value() for key, value in given.items() if key in parameters})
        if not isinstance(task, Task):
            raise UserError(f"task={name} gave {type(task).__name__}, not a trainer.Task: write class {name}(Task).")
    _check_phases(task)
    return task


def _check_phases(task: Task) -> None:
    name, models = type(task).__name__, task.models()
    if not models and not task.others():
        raise UserError(
            f"The task {name} has no model: none of its attributes ({', '.join(vars(task)) or 'it has none'}) is a "
            "keras.Model or keras.Layer.\n  Set it in __init__: self.model = …"
        )
    strange = [key for key, value in vars(task).items() if isinstance(value, tf.Variable)]
    problems = [
        f"self.{key} is a tf.Variable, which nothing trains or saves: write self.{key} = keras.Variable(…)"
        for key in strange
    ]
    known = {**models, **task.others()}
    for phase in task.phases:
        problems += [
            f"the phase {phase.name!r} trains {wanted!r}, and the task has {', '.join(known)}"
            for wanted in phase.models
            if wanted not in known
        ]
        if type(phase.every) is not int or phase.every < 1:
            problems.append(
                f"the phase {phase.name!r} has every={phase.every!r}: write a whole number of steps, 1 or more"
            )
    if task.phases and all(type(phase.every) is int and phase.every > 1 for phase in task.phases):
        problems.append("no phase is part of every step: write every=1 for one of them, and fewer steps")
    names = [phase.name for phase in task.phases]
    problems += [f"two phases are called {twice!r}" for twice in sorted({n for n in names if names.count(n) > 1})]
    if problems:
        raise UserError(f"The task {name}: " + "; ".join(problems) + ".")


def trained_by(phase: Phase | None, task: Task) -> list[keras.Layer | keras.Variable]:
    """The models, layers and variables that a phase trains, in the task's order; None is the one phase of all."""
    known: Mapping[str, Any] = {**task.models(), **task.others()}
    wanted: Iterable[str] = phase.models if phase is not None and phase.models else known
    return [known[name] for name in wanted]


def terms_of(outcome: Outcome, phase: Phase | None, task: Task) -> dict[str, Any]:
    """The terms that a phase minimises, each a scalar.

    Raises:
      UserError: `losses` gave something else, or lacks a term.
    """
    name, terms = type(task).__name__, outcome.terms
    if not isinstance(terms, Mapping):
        terms = {"loss": terms}
    wanted = phase.terms if phase is not None and phase.terms else tuple(terms)
    missing = [term for term in wanted if term not in terms]
    if missing or not wanted:
        raise UserError(
            f"{name}.losses gave {', '.join(terms) or 'no term'}"
            + (f", and the phase {phase.name!r} minimises {', '.join(missing)}." if missing else ".")
        )
    return {term: _scalar(terms[term], f"{name}.losses: {term!r}") for term in wanted}


def _scalar(value: Any, what: str) -> Any:
    # A number that is no tensor is handed on as it is: the guard says what is wrong with it.
    if not tf.is_tensor(value):
        if isinstance(value, (str, bytes, list, tuple, dict, type(None))):
            raise UserError(f"{what} is {value!r}, of type {type(value).__name__}, and a loss is a tensor.")
        return value
    return value if value.shape.rank == 0 else tf.reduce_mean(value)
