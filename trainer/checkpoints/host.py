"""The part of a run's state that is not in variables, and that a continued run needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass
class HostState:
    """Saved with every checkpoint, as JSON.

    Attributes:
      best_score, best_step: of `config.evaluate.metric`; None before the first evaluation.
      evaluations_since_best: for `config.evaluate.patience`.
      reported, evaluated: the last step reported or evaluated; what was due at a checkpoint's step and left out because
        the run had to stop is done when the run goes on.
      report: named sums of the training report since the last line.
      last_report: the last one, as actions read it.
      acted: the last step at which each of the user's actions was called, by its position and its name.
      ended: {"step": …, "reason": …} of a run that an action or early stopping has ended.
      skipped_data: steps of the data left out after a divergence.
      returns: how often the run went back to a checkpoint.
      trained: seconds of training so far; seconds: all seconds by what they were spent on, see `Clock.parts`.
      data: the files of the splits; see `resume.describe_data`.
      micro_batches: found by train.accumulate=auto: step, as text -> micro-batches from there on.
      memory: what actions keep: JSON, by the action's name.
    """

    best_score: float | None = None
    best_step: int | None = None
    evaluations_since_best: int = 0
    reported: int = 0
    evaluated: int = 0
    report: dict[str, float] = dataclasses.field(default_factory=dict)
    last_report: dict[str, float] = dataclasses.field(default_factory=dict)
    acted: dict[str, int] = dataclasses.field(default_factory=dict)
    ended: dict[str, Any] = dataclasses.field(default_factory=dict)
    skipped_data: list[int] = dataclasses.field(default_factory=list)
    returns: int = 0
    trained: float = 0.0
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    data: dict[str, list] = dataclasses.field(default_factory=dict)
    micro_batches: dict[str, int] = dataclasses.field(default_factory=dict)
    memory: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_saved(cls, values: Mapping) -> HostState:
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})
