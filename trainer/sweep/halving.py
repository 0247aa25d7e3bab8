"""Which trial goes on: asynchronous successive halving (Li et al., 2020, "A System for Massively Parallel
Hyperparameter Tuning", algorithm 2), with trials that are paused and go on, rather than ended.

A trial is paused at rungs 0, 1, … and ends at the last one. Whenever somebody is free: of the trials that have a score
at a rung the best 1 / reduction go on to the next, the highest rung first; where none is to go on, a new one begins.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

NEW, WAIT, DONE = "new", "wait", "done"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One draw of settings, and how far it has come.

    Attributes:
      number: from 0.
      settings: field -> value.
      steps: the steps of its rungs; the last is its length.
      rung: the one that it is on its way to, or waits at.
      scores: rung -> score there; at the last rung that of its best checkpoint.
      step: the last of those steps at which it was scored; where its run ended by itself, that of its end.
      failure: why it has none, of one that ended in an error.
    """

    number: int
    settings: Mapping[str, Any]
    steps: tuple[int, ...]
    rung: int = 0
    scores: Mapping[int, float] = dataclasses.field(default_factory=dict)
    step: int = 0
    failure: str = ""

    @property
    def last(self) -> int:
        return len(self.steps) - 1

    @property
    def ended(self) -> bool:
        return self.last in self.scores or bool(self.failure)

    @property
    def paused(self) -> bool:
        """It has a score at its rung, and nothing has been decided since."""
        return not self.ended and self.rung in self.scores

    @property
    def on_its_way(self) -> bool:
        return not self.ended and self.rung not in self.scores

    @property
    def reached(self) -> int | None:
        """The highest rung with a score."""
        return max(self.scores, default=None)


def best_first(trials: Sequence[Trial], rung: int, highest: bool) -> list[Trial]:
    """Trials with a score at a rung, the best first, of equal ones the older; without those that are not a number."""
    scored = [t for t in trials if not math.isnan(t.scores.get(rung, math.nan))]
    return sorted(scored, key=lambda t: (-t.scores[rung] if highest else t.scores[rung], t.number))


def best(trials: Sequence[Trial], highest: bool) -> Trial | None:
    """The best of those that have come furthest."""
    for rung in sorted({rung for t in trials for rung in t.scores}, reverse=True):
        if found := [t for t in best_first(trials, rung, highest) if not t.failure]:
            return found[0]
    return None


def decide(
    trials: Sequence[Trial], busy: Collection[int], *, count: int, reduction: int, highest: bool
) -> tuple[str | Trial, int]:
    """What somebody who is free does next.

    Args:
      trials: all of them.
      busy: numbers of those that a living process trains.
      count: how many there are to be.
      reduction: of so many at a rung the best goes on.
      highest: whether higher scores are better.

    Returns:
      A trial and the rung that it is to be trained to; or NEW, WAIT (for what others train) or DONE, with rung 0.
    """
    for trial in trials:
        if trial.on_its_way and trial.number not in busy:
            return trial, trial.rung  # whoever trained it is gone
    for rung in range(max((t.last for t in trials), default=0) - 1, -1, -1):
        scored = sum(rung in t.scores for t in trials)
        for trial in best_first(trials, rung, highest)[: scored // reduction]:
            if trial.paused and trial.rung == rung:
                return trial, rung + 1
    if len(trials) < count:
        return NEW, 0
    if busy:
        return WAIT, 0
    # So few that a rung had no best third, or those that went on failed: the best goes to the end all the same.
    leader = best(trials, highest)
    if leader is not None and leader.paused:
        return leader, leader.rung + 1
    return DONE, 0


def rungs(total: int, pauses: int, reduction: int) -> tuple[int, ...]:
    """Steps at which a trial of so many steps is paused, each `reduction` times the one before; the last is its end.

    >>> rungs(600, 2, 3)
    (67, 201, 600)
    """
    first = math.ceil(total / reduction**pauses)
    return (*(first * reduction**n for n in range(pauses)), total)
