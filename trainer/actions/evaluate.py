"""Evaluates, keeps the best score, and calls what is due after an evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from trainer.actions.timing import Timed
from trainer.reporting import terminal
from trainer.reporting.clock import EVALUATION
from trainer.reporting.memory.out_of_memory import explaining_memory

# The reason with which training ends when it was asked to.
STOPPED = "asked to stop"


class Evaluate:
    """Scores the run as it is, its averaged weights where it has some.

    Args:
      score: of `trainer.evaluation.evaluator.make_evaluator`.
      stop: asked between two images, alike on all workers; when it says yes the evaluation is left, to be made when
        the run goes on. Asked once more after it, unless the run is at its end.
      then: actions called after each evaluation.
    """

    def __init__(self, score: Callable, stop: Callable[[], bool], then: Sequence[Timed] = ()):
        self._score, self._stop, self._then = score, stop, then

    def __call__(self, run, step: int) -> str | None:
        if run.host.evaluated == step:
            return None
        start = time.monotonic()
        with run.clock.pause(EVALUATION), run.averaged(), explaining_memory(run.config, "evaluation"):
            found = self._score(self._stop)
        if found is None:
            return STOPPED
        scores, pictures = found
        run.scores, run.host.evaluated = scores, step
        better = self._keep_score(run, step, scores.score(run.metric))
        run.journal.line(
            terminal.evaluated(step, run.intervals.total, scores, seconds=time.monotonic() - start, best=better)
        )
        run.journal.evaluation(step, scores, pictures)
        # All of them, also after one that ends the run; and before the save, which is to hold what they remember.
        reasons = [action.function(run, step) for action in self._then]
        if better and run.config.checkpoint.keep_best:
            run.save(again=True)
        interrupted = step < run.intervals.total and self._stop()
        return next((reason for reason in reasons if reason), STOPPED if interrupted else None)

    @staticmethod
    def _keep_score(run, step: int, score: float) -> bool:
        host = run.host
        sign = 1.0 if run.highest_is_best else -1.0
        better = not math.isnan(score) and (host.best_score is None or sign * score > sign * host.best_score)
        if better:
            host.best_score, host.best_step, host.evaluations_since_best = score, step, 0
        else:
            host.evaluations_since_best += 1
        return better
