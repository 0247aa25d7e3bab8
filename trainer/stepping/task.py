"""A task: what is learned from a batch. The step does the rest, alike for every task.

Segmentation (`trainer.stepping.segmentation`) is the built-in one. A task of your own is a class with models and with
`losses(batch, training)`; where several optimizers take turns it has phases, too.
"""

from __future__ import annotations

import dataclasses
import inspect
import numbers
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from configs.reading.nearest import did_you_mean
from trainer.distribution.keras_losses import undivided
from trainer.errors import UserError, numbered
from trainer.parts import made_by, takes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """One update of a step: which terms are minimised, by which models, with which optimizer.

    Attributes:
      name: for reports and checkpoints: "generator".
      terms: names of the terms of `Task.losses` whose sum it minimises; empty takes all.
      models: names of the task's models that it trains; empty takes all.
      optimizer: a Keras optimizer, the name of one, or None for one as the config says. Each phase has its own.
      every: it takes part only in each so many-th step: with 5 the generator moves once in five updates of its critic.
        The config's schedule follows the phase's own updates and ends with the run.
    """

    name: str
    terms: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    optimizer: Any = None
    every: int = 1

    def __new__(cls, *positional, **given):
        # A copy is made without arguments.
        known = [field.name for field in dataclasses.fields(cls)]
        problems = [f"Phase has no {name!r}.{did_you_mean(name, known)}" for name in given if name not in known]
        if positional or given and "name" not in given:
            problems.append("A phase has a name, and all is given by name: Phase(name=…, terms=…, models=…).")
        if problems:
            raise UserError(numbered(problems) + f"\n  It takes {', '.join(known)}.")
        return super().__new__(cls)

    def __post_init__(self):
        for name in ("terms", "models"):
            # A bare name means a tuple of it.
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))


class Outcome(NamedTuple):
    """The terms and ratios of a share of the batch.

    terms: name -> scalar; their sum is the loss.
    ratios: name -> (numerator, denominator), scalars that are added up over shares and steps and only then divided; for
      reports only.
    """

    terms: Mapping[str, tf.Tensor]
    ratios: Mapping[str, tuple[tf.Tensor, tf.Tensor]] = {}


class NoSuchKey(UserError, KeyError):
    """The batch has no such key."""

    __str__ = UserError.__str__


class Examples(dict):
    """A batch that answers a missing key with a list of its keys."""

    def __missing__(self, key):
        known = [name for name in self if name != "index"]
        raise NoSuchKey(
            f"The batch has no {key!r}: it has {', '.join(known)}, and index.{did_you_mean(str(key), known)}\n"
            "  Further keys are those of the examples: data={'image': …, 'label': …, " + repr(key) + ": …}."
        )


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
      phases: the updates of a step, one after the other; empty means one update of all models by all terms. A phase
        leaves the statistics (batch normalisation's) of models that it does not train as they are.
      batchwide: whether `losses` calls `global_sum`; None finds out, at the cost of tracing the forward pass twice
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
          Name -> scalar: a mean over the share's examples, to be minimised. A tensor of more values is averaged. A
          method that also takes `phase` is called with the name of the phase at hand and may leave out what that does
          not need. A pair of two such mappings: the second is reported and scored, and not minimised.
        """
        raise NotImplementedError(f"{type(self).__name__} has no losses(self, batch, training).")

    def predict(self, batch: Mapping[str, tf.Tensor]) -> Any:
        """What `Run.predict` gives and metrics take; by default the first model's output on the images.

        Returns:
          A tensor `[batch, …]`, or a mapping or list of such.
        """
        name, model = next(iter(self.models().items()), ("", None))
        try:
            return model(batch["image"], training=False)
        except (TypeError, ValueError) as error:
            task, shape = type(self).__name__, [None if side is None else int(side) for side in batch["image"].shape]
            what = f"its first model, {name}, takes no images of shape {shape}" if name else "it has no keras.Model"
            raise UserError(
                f"Metrics and run.predict need the predict of the task {task}, which has none of its own, and {what}.\n"
                "  Write what a batch's result is: def predict(self, batch): return …"
            ) from error

    def after_update(self) -> None:
        """Called once a step, after the weights have changed, in cross-replica context: `assign` to what follows
        them."""
        return None  # AutoGraph cannot convert a function without a statement

    def outcome(self, batch: Mapping[str, tf.Tensor], training: bool, phase: str = "") -> Outcome:
        """The result of `losses` as an `Outcome`, for the step."""
        extra = {"phase": phase} if "phase" in inspect.signature(self.losses).parameters else {}
        with undivided():
            found = self.losses(Examples(batch), training, **extra)
        if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(part, Mapping) for part in found)):
            return Outcome(found)
        terms, watched = found
        where = f"{type(self).__name__}.losses, what is reported: "
        return Outcome(terms, {name: (_scalar(value, f"{where}{name!r}"), 1.0) for name, value in watched.items()})

    def evaluated(self, batch: Mapping[str, tf.Tensor]) -> Outcome:
        """The terms of all phases, for evaluation; a `losses` that takes `phase` is called once for each."""
        if not self.phases or "phase" not in inspect.signature(self.losses).parameters:
            return self.outcome(batch, training=False)
        terms: dict[str, tf.Tensor] = {}
        ratios: dict[str, tuple] = {}
        for phase in self.phases:
            found = self.outcome(batch, training=False, phase=phase.name)
            terms |= found.terms if isinstance(found.terms, Mapping) else {phase.name: found.terms}
            ratios |= found.ratios
        return Outcome(terms, ratios)

    def models(self) -> dict[str, keras.Model]:
        """The models by attribute name, in the order in which they were set; of a list "heads/0", "heads/1" …"""
        return {name: value for name, value in self._attributes() if isinstance(value, keras.Model)}

    def others(self) -> dict[str, keras.Layer | keras.Variable]:
        """Layers and Keras variables that are attributes by themselves, by attribute name."""
        kinds = (keras.Layer, keras.Variable)
        return {
            name: value
            for name, value in self._attributes()
            if isinstance(value, kinds) and not isinstance(value, keras.Model)
        }

    def generators(self) -> dict[str, keras.random.SeedGenerator]:
        """Keras's seed generators, by attribute name, so that their random numbers continue after a restart."""
        return {name: value for name, value in self._attributes() if isinstance(value, keras.random.SeedGenerator)}

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        """What is an attribute, or in a list, tuple, mapping or loss that is one."""
        for name, value in vars(self).items():
            if isinstance(value, (list, tuple)):
                yield from ((f"{name}/{number}", item) for number, item in enumerate(value))
            elif isinstance(value, Mapping):
                yield from ((f"{name}/{key}", item) for key, item in value.items())
            elif isinstance(value, keras.losses.Loss):
                yield from ((f"{name}/{key}", item) for key, item in vars(value).items())
            else:
                yield name, value


def build_task(task: Any, *, config, data, model: Any) -> Task:
    """A task from what a user gave: a `Task`, or a class or function that is called in the strategy's scope.

    Args:
      task: as above.
      config, data: of the run; passed where the class or function names them.
      model: a function without arguments that builds the configured model; called only where "model" is named.

    Raises:
      UserError: it cannot be called so, or does not give a `Task`.
    """
    if not isinstance(task, Task):
        name = getattr(task, "__name__", type(task).__name__)
        if not callable(task) or isinstance(task, keras.Layer):
            raise UserError(f"task={reprlib.repr(task)} is of type {type(task).__name__}: pass a Task, or its class.")
        if isinstance(task, type) and not issubclass(task, Task):
            raise UserError(f"task={name} is a class, and no trainer.Task: write class {name}(Task).")
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
                "that it names.\n  Give the others defaults, or pass the object: task=MyTask(…)."
            )
        task = made_by(task, {key: value() for key, value in given.items() if key in parameters}, f"task={name}")
        if not isinstance(task, Task):
            raise UserError(f"task={name} gave {type(task).__name__}, not a trainer.Task: return a Task.")
    _check_phases(task)
    return task


def _check_phases(task: Task) -> None:
    name, models = type(task).__name__, task.models()
    if not isinstance(task.phases, (list, tuple)) or not all(isinstance(phase, Phase) for phase in task.phases):
        raise UserError(f"The task {name}: phases is a tuple of Phase(name=…, terms=…, models=…): phases = (Phase(…),)")
    if not models and not task.others():
        raise UserError(
            f"The task {name} has no model: none of its attributes ({', '.join(vars(task)) or 'it has none'}) is a "
            "keras.Model or keras.Layer.\n  Set it in __init__: self.model = …"
        )
    problems = [
        f"self.{key} is a tf.Variable, which nothing trains or saves: write self.{key} = keras.Variable(…)"
        for key, value in task._attributes()
        if isinstance(value, tf.Variable)
    ]
    problems += [
        f"self.{key} is a tf.random.Generator, which nothing saves: write self.{key} = "
        f"keras.random.SeedGenerator(0), and draw with keras.random.normal(shape, seed=self.{key})"
        for key, value in task._attributes()
        if isinstance(value, tf.random.Generator)
    ]
    if not callable(task.losses) or type(task).losses is Task.losses:
        problems.append("it has no losses(self, batch, training), which gives the terms to be minimised")
    elif not takes(task.losses, 2) and "phase" not in inspect.signature(task.losses).parameters:
        problems.append(f"losses{inspect.signature(task.losses)} is called as losses(batch, training)")
    for method, arguments in ((task.predict, ("batch",)), (task.after_update, ())):
        method_name = "predict" if arguments else "after_update"
        if not callable(method):
            problems.append(
                f"its {method_name} is no method: write def {method_name}({', '.join(('self', *arguments))})"
            )
        elif not takes(method, len(arguments)):
            called = f"{method_name}({', '.join(arguments)})"
            problems.append(f"{method_name}{inspect.signature(method)} is called as {called}")
    known = {**models, **task.others()}
    for phase in task.phases:
        problems += [
            f"the phase {phase.name!r} trains {wanted!r}, and the task has {', '.join(known)}"
            + ("" if isinstance(wanted, str) else ": models are named by their attributes")
            for wanted in phase.models
            if not any(is_named(name, (wanted,)) for name in known)
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
    """The models, layers and variables that a phase trains, in the task's order; for None, all of them."""
    known: Mapping[str, Any] = {**task.models(), **task.others()}
    wanted: Iterable[str] = phase.models if phase is not None and phase.models else known
    return [part for name, part in known.items() if is_named(name, wanted)]


def is_named(name: str, wanted: Iterable[str]) -> bool:
    """Whether a phase names a model, by itself or by its list."""
    return any(name == term or name.startswith(f"{term}/") for term in wanted)


@tf.autograph.experimental.do_not_convert
def terms_of(outcome: Outcome, phase: Phase | None, task: Task) -> dict[str, Any]:
    """The terms that a phase minimises, each a scalar.

    Raises:
      UserError: `losses` gave something else, or lacks a term.
    """
    name, terms = type(task).__name__, outcome.terms
    if not isinstance(terms, Mapping):
        terms = {"loss": terms}
    gave = f"{name}.losses gave {', '.join(terms) or 'no term'}"
    asked = task.phases if phase is None else (phase,)
    problems = [
        f"{gave}, and the phase {each.name!r} minimises {', '.join(missing)}."
        for each in asked
        if (missing := [term for term in each.terms if term not in terms])
    ]
    unused = [term for term in terms if not any(term in each.terms or not each.terms for each in task.phases)]
    if task.phases and unused and not problems:
        problems.append(
            f"{gave}, and no phase minimises {', '.join(unused)}: name it in Phase(terms=…), or return what is only to "
            "be reported as a second mapping, `return terms, reported`."
        )
    wanted = phase.terms if phase is not None and phase.terms else tuple(terms)
    if problems or not wanted:
        raise UserError(numbered(problems) if problems else f"{gave}.")
    if all(isinstance(terms[term], (numbers.Number, np.number)) for term in wanted):
        code = type(task).losses.__code__
        raise UserError(
            f"{name}.losses ({code.co_filename}:{code.co_firstlineno}) gave "
            + ", ".join(f"{term!r}: {terms[term]!r}" for term in wanted)
            + f"{'' if phase is None else f' for the phase {phase.name!r}'}: numbers of Python, which depend on no "
            "model.\n  Compute a term from what a model gives, with TensorFlow or Keras: tf.reduce_mean(…), not "
            "float(…) or numpy."
        )
    return {term: _scalar(terms[term], f"{name}.losses: {term!r}") for term in wanted}


def total_loss(task: Task, updates: Sequence, batch) -> tf.Tensor:
    """The scalar that a step minimises: the terms of all its phases on a batch, and their models' penalties."""
    terms = []
    for update in updates:
        outcome = task.outcome(batch, training=True, phase=update.name)
        terms += [*terms_of(outcome, update.phase, task).values(), *update.penalties()]
    return terms[0] if len(terms) == 1 else tf.add_n([tf.cast(term, tf.float32) for term in terms])


def _scalar(value: Any, what: str) -> Any:
    if not tf.is_tensor(value):
        if isinstance(value, (str, bytes, list, tuple, dict, type(None))):
            raise UserError(f"{what} is {value!r}, of type {type(value).__name__}, and a loss is a tensor.")
        # Beside terms that depend on the models, a constant is as good as another.
        value = tf.convert_to_tensor(value, tf.float32)
    return value if value.shape.rank == 0 else tf.reduce_mean(value)
