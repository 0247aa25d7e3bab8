"""What a continued run needs and no variable holds."""

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
      reported, evaluated: the last step that was; what is due at the step of a checkpoint and was not done before it
        (the run was asked to stop) is done when the run goes on.
      report: named sums of the training's report since the last one.
      last_report: the last one, as actions read it.
      acted: the last step at which each action of the user's was called, by its place in the list and its name.
      ended: {"step": …, "reason": …} of a run that an action or early stopping has ended.
      skipped_data: steps of the data left out after a divergence; the data go on without them.
      returns: times the run went back to a checkpoint.
      trained: seconds of training so far; seconds: all by what they were spent on, see `Clock.parts`.
      data: of which files the splits consist; see `resume.describe_data`.
      micro_batches: what train.accumulate=auto found: step, as text -> micro-batches from there on.
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
