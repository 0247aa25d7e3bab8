"""How a call to `Run.train` ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

FINISHED = "finished"


@dataclasses.dataclass(frozen=True)
class Result:
    """Attributes:
    step: steps done, over all sessions of the run.
    reason: "finished", "asked to stop", or why an action or early stopping ended it.
    scores: of the last evaluation by name, as in metrics.jsonl ("mean_dice", "loss", …); empty where there was none.
    best_score, best_step: of `config.evaluate.metric`.
    saved: the state at `step` is in a checkpoint.
    stopped: it was interrupted before its end; another `Run.train` goes on.
    """

    step: int
    reason: str
    scores: Mapping[str, float]
    best_score: float | None
    best_step: int | None
    saved: bool
    stopped: bool = False
