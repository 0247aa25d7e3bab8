"""Which weights are in place while something is done with a run's models: a checkpoint's, or those of an ensemble."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np

from trainer.checkpoints import folder as checkpoints
from trainer.checkpoints.restore import load_weights
from trainer.console import naming_settings
from trainer.data import DataSets
from trainer.ensemble import check_unseen, in_place, members_of
from trainer.reporting.memory.out_of_memory import explaining_memory
from trainer.stepping.state import task_variables
from trainer.stepping.task import Task


@contextlib.contextmanager
def weights_of(
    run, checkpoint: str | None, ensemble: Sequence, scored: DataSets | None
) -> Iterator[checkpoints.Saved | None]:
    """As `Run.weights`."""
    if ensemble:
        members = members_of(ensemble, checkpoint or "best")
        with naming_settings(), in_place(run, members) as run.members:
            try:
                if scored is not None:
                    check_unseen(run, members, scored)
                yield run.members[0]
            finally:
                run.members = []
    elif run.members:
        yield run.members[0]
    elif checkpoint is None:
        with run.averaged():
            yield None
    else:
        task = run.task
        with naming_settings(), explaining_memory(run.named_config, "saving or loading a checkpoint"):
            saved = checkpoints.find(run.workdir, checkpoint)
            before = _snapshot_of(task)
        try:
            with explaining_memory(run.named_config, "saving or loading a checkpoint"):
                load_weights(task, saved)
            run.taken = saved
            yield saved
        finally:
            run.taken = None
            for variable, value in before:
                variable.assign(value)


def _snapshot_of(task: Task) -> list[tuple[keras.Variable, np.ndarray]]:
    return [(variable, np.array(variable.numpy())) for variable in task_variables(task).values()]
