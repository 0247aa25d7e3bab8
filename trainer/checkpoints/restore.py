"""From a checkpoint's arrays to variables: all of them when a run continues, by pattern in a warm start."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from trainer.checkpoints.folder import Saved
from trainer.errors import UserError
from trainer.stepping.state import TrainState, task_variables
from trainer.stepping.task import Task


def snapshot(state: TrainState) -> dict[str, np.ndarray]:
    """Copies every variable to the host: the only part of saving that training waits for."""
    # On a CPU .numpy() may show the variable's own memory, which the next step overwrites.
    return {path: np.array(variable.numpy()) for path, variable in state.variables_by_path().items()}


def put_back(state: TrainState, arrays: Mapping[str, np.ndarray]) -> None:
    """Undoes everything since `snapshot` gave these arrays."""
    for path, variable in state.variables_by_path().items():
        variable.assign(arrays[path])


@contextlib.contextmanager
def unchanged(state: TrainState) -> Iterator[None]:
    """Whatever happens to the state inside is undone."""
    arrays = snapshot(state)
    try:
        yield
    finally:
        put_back(state, arrays)


def restore(state: TrainState, saved: Saved) -> None:
    """Restores every variable.

    Raises:
      UserError: a variable is missing, has another shape, or an array has no variable; all of them are named.
    """
    variables = state.variables_by_path()
    arrays = _with_averages(_by_this_runs_names(saved.arrays, variables), variables)
    problems = [f"{p}: not in the checkpoint" for p in variables if p not in arrays]
    problems += [f"{p}: in the checkpoint, but this run has no such variable" for p in arrays if p not in variables]
    for path, variable in variables.items():
        if path in arrays and tuple(variable.shape) != arrays[path].shape:
            problems.append(f"{path}: {list(arrays[path].shape)} in the checkpoint, {list(variable.shape)} in this run")
    if problems:
        more = f"\n  … and {len(problems) - 12} more" if len(problems) > 12 else ""
        raise UserError(
            f"{saved.folder} is of another model or optimizer: {len(problems)} variables do not fit.\n  "
            + "\n  ".join(problems[:12])
            + more
            + "\n  Go on with the config that the run was started with (config.json in its workdir), or start anew in "
            "another workdir,\n  from these weights if you like: --workdir=… --config.checkpoint.warm_start=…"
        )
    for path, variable in variables.items():
        variable.assign(arrays[path])


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """What a warm start took and left, variable by variable; `reasons` says why for each that was left.

    `renamed` has those that stand in another task there: name here -> name there.
    """

    taken: tuple[str, ...]
    reasons: Mapping[str, str]
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        total = len(self.taken) + len(self.reasons)
        lines = [f"{len(self.taken)} of {total} model variables taken"]
        if self.renamed:
            here, there = next(iter(self.renamed.items()))
            lines[0] += f", {len(self.renamed)} of them from another task: {here} from {there}"
        by_reason: dict[str, list[str]] = {}
        for path, reason in self.reasons.items():
            by_reason.setdefault(reason, []).append(path)
        for reason, paths in by_reason.items():
            shown = ", ".join(paths[:4]) + (f", … ({len(paths)} in all)" if len(paths) > 4 else "")
            lines.append(f"{reason}: {shown}")
        return "\n".join(lines)


def warm_start(state: TrainState, saved: Saved, pattern: str) -> WarmStart:
    """Loads the models' variables whose path matches and whose shape agrees; averages start from them, too.

    A task with several models has their attributes' names before the paths: the model may be an attribute there
    ("encoder/conv/kernel") and the only one here ("conv/kernel"), or the other way round.

    Raises:
      UserError: nothing at all was loaded, with the reasons.
    """
    taken, reasons, renamed = [], {}, {}
    variables = {p: v for p, v in state.variables_by_path().items() if p.startswith("model/")}
    source = _by_this_runs_names(weights_of(saved), variables)
    for path, variable in variables.items():
        name = path.removeprefix("model/")
        if path not in source and len(others := _in_another_task(name, source)) == 1:
            renamed[name] = others[0].removeprefix("model/")
            path = others[0]
        if not re.search(pattern, name):
            reasons[name] = f"left out by the pattern {pattern!r}"
        elif path not in source:
            reasons[name] = "missing in the checkpoint"
        elif source[path].shape != tuple(variable.shape):
            reasons[name] = f"shape {list(source[path].shape)} there, {list(variable.shape)} here"
        else:
            variable.assign(source[path])
            taken.append(name)
    renamed = {name: there for name, there in renamed.items() if name in taken}
    for path in source:
        if path not in variables and path.removeprefix("model/") not in renamed.values():
            reasons[path.removeprefix("model/")] = "extra in the checkpoint, no such variable here"
    for variable, average in zip(state.followed, state.averages, strict=False):
        average.assign(variable.value)
    result = WarmStart(tuple(taken), reasons, renamed)
    if not taken:
        raise UserError(f"config.checkpoint.warm_start: nothing of {saved.folder} fits this model.\n  {result}")
    return result


def _in_another_task(name: str, paths: Iterable[str]) -> list[str]:
    """The paths that are the same but for the attribute's name, which one of both tasks has before it."""
    inner = name.partition("/")[2]
    return [p for p in paths if name == p.removeprefix("model/").partition("/")[2] or p == f"model/{inner}"]


def load_weights(task: Task, saved: Saved) -> None:
    """Loads a checkpoint's weights into a task's models: the averages where it has them.

    Raises:
      UserError: the task has a variable that the checkpoint lacks or has in another shape.
    """
    variables = task_variables(task)
    arrays, problems = _by_this_runs_names(weights_of(saved), variables), []
    for path, variable in variables.items():
        array, name = arrays.get(path), path.removeprefix("model/")
        if array is None:
            problems.append(f"{name}: not in the checkpoint")
        elif array.shape != tuple(variable.shape):
            problems.append(f"{name}: {list(array.shape)} there, {list(variable.shape)} here")
    if problems:
        more = f"\n  … and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise UserError(
            f"{saved.folder} holds another model: {len(problems)} variables do not fit.\n  "
            + "\n  ".join(problems[:8])
            + more
            + "\n  Use the config that it was trained with: config.json in its workdir."
        )
    for path, variable in variables.items():
        variable.assign(arrays[path])


def _with_averages(arrays: Mapping[str, np.ndarray], variables: Mapping) -> Mapping[str, np.ndarray]:
    """Adds averages of the layers' statistics where an earlier version did not keep them: they begin at the
    statistics."""
    if not any(path.startswith("average/") for path in arrays):
        return arrays
    own = {
        f"average/{path.removeprefix('model/')}": array for path, array in arrays.items() if path.startswith("model/")
    }
    return {path: array for path, array in own.items() if path in variables} | dict(arrays)


def weights_of(saved: Saved) -> dict[str, np.ndarray]:
    """The models' arrays by path: the averages where the run kept them, since these were evaluated."""
    arrays = {p: a for p, a in saved.arrays.items() if p.startswith("model/")}
    averages = {p.removeprefix("average/"): a for p, a in saved.arrays.items() if p.startswith("average/")}
    return arrays | {f"model/{p}": a for p, a in averages.items()}


def _by_this_runs_names(arrays: Mapping[str, np.ndarray], variables: Mapping) -> Mapping[str, np.ndarray]:
    """The arrays under the paths that their variables have in this process.

    Keras numbers unnamed layers over the whole process ("conv2d_7"), so the same model built again in a notebook has
    other paths. Where only these numbers differ, arrays and variables are matched by their order.
    """
    if arrays.keys() == variables.keys():
        return arrays
    there = [(_without_numbers(path), array.shape) for path, array in arrays.items()]
    here = [(_without_numbers(path), tuple(variable.shape)) for path, variable in variables.items()]
    return dict(zip(variables, arrays.values(), strict=True)) if there == here else arrays


def _without_numbers(path: str) -> str:
    return re.sub(r"_\d+(?=/|$|_)", "", path)
