"""Which variables a phase trains, which ones the forward pass writes, and how these are put back."""

from __future__ import annotations

import keras

from trainer.stepping.state import TrainState, Update, task_variables
from trainer.stepping.task import Task, is_named


def is_to_learn(model: keras.Model, update: Update, task: Task) -> bool:
    """Whether a model must have something trainable: a phase names it, or its update trains nothing else.

    A frozen teacher beside its student need not.
    """
    names = update.phase.models if update.phase is not None else ()
    by_name = any(part is model and is_named(name, names) for name, part in task.models().items())
    return model in update.trained and (not update.variables or by_name)


def in_place(state: TrainState, update: Update, values):
    """The values of an update's variables in the order of all trainable ones, with 0 for those of other updates."""
    by_variable = {id(v): value for v, value in zip(update.variables, values, strict=True)}
    return [by_variable.get(id(v), 0.0) for v in state.trainable]


def strange(watched, state: TrainState, update: Update):
    """The watched variables that the guard has to judge.

    Models of the task that this phase does not train, such as a teacher or the other player's network, are left out.
    """
    _, others = own_and_other(task_variables(state.task).values(), update)
    known = {handle for v in others for handle in _handles(v.value)}
    return [v for v in watched if known.isdisjoint(_handles(v))]


def _handles(variable) -> set[int]:
    """One handle of a plain variable, one for each replica of a mirrored one."""
    copies = variable.values if hasattr(variable, "values") else [variable]
    return {id(copy.handle) for copy in copies if hasattr(copy, "handle")}


def written(state: TrainState, *, floats: bool = False):
    """Variables that a forward pass may write: those made with trainable=False (a frozen kernel was not)."""
    found = [v for v in task_variables(state.task).values() if not v.value.trainable]
    return [v for v in found if "float" in v.dtype] if floats else found


def own_and_other(variables, update: Update):
    """The variables split in two: of the models that the update trains, and of the task's other models."""
    mine = {id(v) for part in update.trained for v in getattr(part, "variables", (part,))}
    variables = list(variables)
    return [v for v in variables if id(v) in mine], [v for v in variables if id(v) not in mine]


def put_back(strategy, variables, values) -> None:
    for variable, value in zip(variables, values, strict=True):
        strategy.extended.update(variable.value, lambda v, old: v.assign(old), args=(value,))
