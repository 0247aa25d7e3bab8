"""The sweep's trials on disk: an Optuna study in one journal file, which several processes write.

`study.journal` is a line of JSON a change, written under a lock and brought to disk before the lock is given back. All
locks are the kernel's (flock), as the workdir's is: they end with their process, however it ends, where Optuna's own
lock files outlive a kill -9 for half a minute, and SQLite's locks are not to be trusted on NFS (its own FAQ says so).
What a kill leaves of a half-written line is dropped by the next who writes.

A trial that is on its way is held by the process that trains it, by `trial_…/.claim`. One that nobody holds is taken
up by whoever is free next, from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from configs.sweep import Between, Sweep
from trainer.errors import UserError
from trainer.sweep.halving import Trial

JOURNAL_FILE = "study.journal"
_NAME = "sweep"


def need_optuna() -> None:
    """Raises a UserError where Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise UserError("A sweep needs Optuna: pip install optuna")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Optuna's own lines are left out inside; its warnings are not."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class FileLock:
    """An exclusive lock by a file, which the kernel takes back when the process ends, however it ends."""

    def __init__(self, path: str):
        self._path, self._file = path, None

    def acquire(self, wait: bool = True) -> bool:
        """Takes it; False where another has it and `wait` is False."""
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        file = open(self._path, "ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            return False
        except BaseException:
            file.close()
            raise
        self._file = file
        return True

    def release(self) -> None:
        self._file.close()

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *exception) -> None:
        self.release()


class _JournalLock(FileLock):
    """Held while a line is written; what a kill left of one is dropped first."""

    def __init__(self, journal: str):
        # Not Optuna's name for it: whoever opens the journal with Optuna alone would take ours for one left behind.
        super().__init__(os.path.join(os.path.dirname(journal), ".study.lock"))
        self._journal = journal

    def acquire(self, wait: bool = True) -> bool:
        taken = super().acquire(wait)
        with open(self._journal, "r+b") as file:
            content = file.read()
            if not content.endswith(b"\n"):
                file.truncate(content.rfind(b"\n") + 1)
        return taken


class Study:
    """The trials of a sweep's workdir.

    Args:
      workdir: of the sweep.
      sweep: with exact ranges.
    """

    def __init__(self, workdir: str, sweep: Sweep):
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        self.workdir, self._ranges = workdir, sweep.ranges
        path = os.path.join(workdir, JOURNAL_FILE)
        os.makedirs(workdir, exist_ok=True)
        self._storage = JournalStorage(JournalFileBackend(path, lock_obj=_JournalLock(path)))
        self._lock = FileLock(os.path.join(workdir, ".sweep.lock"))
        self._id: int | None = None

    def deciding(self) -> FileLock:
        """One process at a time decides, inside."""
        return self._lock

    def open(self, about: Mapping[str, Any], highest: bool) -> Mapping[str, Any]:
        """Makes the study, or opens the one that there is.

        Args:
          about: what makes it this sweep and no other.
          highest: whether higher scores are better.

        Returns:
          What it was made with.
        """
        from optuna.study import StudyDirection

        with self._lock, quiet():
            if not any(study.study_name == _NAME for study in self._storage.get_all_studies()):
                direction = StudyDirection.MAXIMIZE if highest else StudyDirection.MINIMIZE
                self._storage.create_new_study([direction], _NAME)
            self._id = self._storage.get_study_id_from_name(_NAME)
            before = self._storage.get_study_user_attrs(self._id)
            if _NAME not in before:
                self._storage.set_study_user_attr(self._id, _NAME, dict(about))
            return before.get(_NAME, about)

    def trials(self) -> list[Trial]:
        """All of them, as they are now."""
        found = []
        for each in self._storage.get_all_trials(self._id, deepcopy=False):
            attributes = each.user_attrs
            found.append(
                Trial(
                    number=each.number,
                    settings=values_of(each.params, self._ranges),
                    steps=tuple(attributes["steps"]),
                    rung=attributes.get("rung", 0),
                    scores=dict(each.intermediate_values),
                    step=attributes.get("step", 0),
                    failure=attributes.get("failure", ""),
                )
            )
        return found

    def begin(self, settings: Mapping[str, Any], steps: Sequence[int]) -> Trial:
        """A new trial; one line in the journal, so that a kill leaves a whole one or none."""
        from optuna.trial import TrialState, create_trial

        template = create_trial(
            state=TrialState.RUNNING,
            params=keys(settings),
            distributions=distributions(self._ranges),
            user_attrs={"steps": list(steps)},
        )
        trial_id = self._storage.create_new_trial(self._id, template)
        number = self._storage.get_trial_number_from_id(trial_id)
        return Trial(number, settings, tuple(steps))

    def promote(self, trial: Trial, rung: int) -> None:
        self._storage.set_trial_user_attr(self._trial_id(trial), "rung", rung)

    def score(self, trial: Trial, rung: int, value: float, step: int) -> None:
        """Its score at a rung, which it reached at this step; at the last one it has ended."""
        from optuna.trial import TrialState

        trial_id = self._trial_id(trial)
        self._storage.set_trial_user_attr(trial_id, "step", step)
        self._storage.set_trial_intermediate_value(trial_id, rung, value)
        if rung == trial.last:
            self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])

    def fail(self, trial: Trial, reason: str) -> None:
        from optuna.trial import TrialState

        trial_id = self._trial_id(trial)
        self._storage.set_trial_user_attr(trial_id, "failure", reason)
        self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _trial_id(self, trial: Trial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)

    def folder(self, trial: Trial) -> str:
        return os.path.join(self.workdir, f"trial_{trial.number:05}")

    def claim(self, trial: Trial) -> FileLock | None:
        """The right to train it, until released; None where another process has it."""
        lock = FileLock(os.path.join(self.folder(trial), ".claim"))
        return lock if lock.acquire(wait=False) else None

    def busy(self, trials: Sequence[Trial]) -> set[int]:
        """Numbers of those that a living process trains."""
        found = set()
        for trial in trials:
            if trial.on_its_way:
                lock = self.claim(trial)
                if lock is None:
                    found.add(trial.number)
                else:
                    lock.release()
        return found


# --- settings as Optuna has them: it knows numbers and texts, and a field may be a list


def keys(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {path: _key(value) for path, value in settings.items()}


def _key(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value)


def values_of(params: Mapping[str, Any], ranges: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for path, key in params.items():
        range_ = ranges[path]
        found[path] = key if isinstance(range_, Between) else next(v for v in range_.values if _key(v) == key)
    return found


def distributions(ranges: Mapping[str, Any]) -> dict[str, Any]:
    """Optuna's distribution of each range."""
    from optuna import distributions as of

    found = {}
    for path, range_ in ranges.items():
        if isinstance(range_, Between):
            kind = of.IntDistribution if isinstance(range_.low, int) else of.FloatDistribution
            found[path] = kind(range_.low, range_.high, log=range_.log)
        else:
            found[path] = of.CategoricalDistribution([_key(value) for value in range_.values])
    return found
