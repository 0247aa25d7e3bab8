"""Steps on copies: the program unchanged, then with each suspected fault mended. Whatever helps was the fault."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np

from .batch import Look, look, still_zero
from .change import Change, Suspicion, fault
from .clock import Clock
from .data import copied_inputs
from .judge import Judge
from .pair import Pair
from .program import Program, tensors
from .skill import skill
from .suspects import strong_suspects, weak_suspects
from .trial import Run, Trial

_LEARNED = 0.93  # skill beyond which nothing is worth a trial


def settle(
    program: Program, pair: Pair | None, seen: Look, trial: Trial, offered: Iterable[Suspicion], clock: Clock
) -> tuple[list[Suspicion], list[str]]:
    """The suspicions confirmed by steps on copies, with the results added to their evidence, and notes.

    Args:
      program, pair, seen, trial: the program, its output as read, a batch, and a copy.
      offered: earlier suspicions.
      clock: how long this may take.
    """
    base = trial.run(until=clock.share(0.35))
    later = look(program, trial)
    elsewhere = _of_validation(program, pair, trial, base)
    trial.reset()  # the batch was seen with the initial weights
    notes = []
    if not base.finished:
        notes.append(
            f"The steps on copies ended after {len(base.losses)} of {program.updates or '?'} steps, to stay within "
            f"{clock.seconds:.0f} seconds."
        )
    judge = Judge(program, pair, base, clock, trial)
    if elsewhere is not None and (found := judge.useless_for(elsewhere, trial)):
        return found, notes
    if base.finite and judge.skill(base) >= _LEARNED and not _behind(base):
        return [], notes
    if base.finite and (still := list(still_zero(program, seen, later))):
        return still, notes
    offered = list(offered)
    strong = [*(s for s in offered if s.strong), *strong_suspects(program, pair, seen)]
    found = judge.mended_by(strong)
    if not found and judge.skill(base) < 0.6:
        found = list(copied_inputs(program))
    if not found:
        found = judge.apart(trial)
    if not found:
        found = judge.rare(trial, 0.0, 0.08)
    if not found and len(strong) > 1:
        found = judge.together(strong)
    if not found and (judge.skill(base) < 0.6 or not base.finite):
        weak = [*(s for s in offered if not s.strong), *weak_suspects(program, pair, seen, base.losses)]
        found = judge.mended_by(weak)
        if not found:
            found = judge.rare(trial, 0.08, 0.2)
        if not found and not base.finite:
            found = [_not_finite(base)]
    return found, notes


def helps(program: Program, suspicion: Suspicion, all_found: list[Suspicion], clock: Clock) -> bool:
    """Whether mending a certain fault makes a copy learn clearly better, with all other faults mended in both runs."""
    others = Change()
    for other in all_found:
        if other is not suspicion and other.change is not None:
            others = others | other.change
    if clock.left < 3 or keras.tree.is_nested(program.y):
        return False
    pair = suspicion.pair
    runs = []
    for change in (others, others | suspicion.change):
        try:
            trial = Trial(program, pair, change)
            runs.append(trial.run(until=clock.share(0.4)))
            trial.reset()  # a model trained in place starts from its own weights again
        except Exception:  # the changed program does not run, so it is not shown
            return False
    before, after = (run.skill if run.finite and np.isfinite(run.skill) else -1.0 for run in runs)
    return after > max(before, 0.0) + 0.1


def _of_validation(program: Program, pair: Pair | None, trial: Trial, base: Run) -> float | None:
    """The skill on validation data of a copy that has learned its training data, if almost none; otherwise None."""
    known = pair is not None and pair.labels.classes and program.validation and base.finite and base.skill >= 0.5
    if not known or keras.tree.is_nested(program.validation[1]) or program.validation[1] is None:
        return None
    try:
        predictions = np.asarray(trial.predict(tensors(program.validation[0])))
    except Exception:  # validation data of another shape is a finding of its own
        return None
    there = skill(pair, np.asarray(program.validation[1]), predictions)
    return there if np.isfinite(there) and there <= 0.15 and len(predictions) >= 16 else None


def _behind(run: Run) -> bool:
    """Whether the statistics used in inference lose what was learned with the batch's."""
    return np.isfinite(run.skill_in_training) and run.skill_in_training - run.skill > 0.1


def _not_finite(base: Run) -> Suspicion:
    at = int(np.flatnonzero(~np.isfinite(base.losses))[0])
    return fault(
        "nonfinite_loss",
        "loss",
        f"The loss is {base.losses[at]} at step {at + 1}.",
        "Look for a logarithm, a division or a root of 0 in the loss, and lower the learning rate.",
        depth="steps",
    )
