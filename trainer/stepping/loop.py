"""The outer loop: counts steps and calls actions. It knows no model, no loss and no file format."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import tensorflow as tf

# A call on the device lasts about this long, which is how long a signal may have to wait.
_SECONDS_PER_CALL = 2.0


@dataclasses.dataclass(frozen=True)
class Action:
    """Something done after every `every` steps and at the end.

    Attributes:
      every: distance in steps; 0 means only at the end.
      run: called with the step; returns a reason to end training, or None.
      margin: an occasion this close to the end is left to the end, which does it anyway.
    """

    every: int
    run: Callable[[int], str | None]
    margin: int = 0

    def next_after(self, step: int, total: int) -> int:
        """The next step at which it is due, after `step`."""
        if not self.every:
            return total
        due = (step // self.every + 1) * self.every
        return due if due < total - self.margin else total

    def due(self, step: int, total: int) -> bool:
        return self.next_after(step - 1, total) == step


@dataclasses.dataclass(frozen=True)
class AtSteps:
    """Something done only at certain steps; otherwise as `Action`."""

    steps: tuple[int, ...]
    run: Callable[[int], str | None]

    def next_after(self, step: int, total: int) -> int:
        return min([each for each in self.steps if each > step], default=total)

    def due(self, step: int, total: int) -> bool:
        return step in self.steps


def run_loop(
    train_steps: Callable[[object, tf.Tensor], None],
    iterator,
    *,
    read_step: Callable[[], int],
    total: int,
    actions: Sequence[Action | AtSteps],
    after_call: Callable[[int], str | None],
    steps_per_call: int = 0,
) -> tuple[int, str | None]:
    """Trains up to step `total`.

    Args:
      train_steps: takes up to a number of steps in one call on the device.
      iterator: of the batches, from the run's current step on.
      read_step: reads the run's current step; nothing else is read from the device.
      total: the step that training ends at.
      actions: in the order in which they run when several are due.
      after_call: called with the step after every call; returns a reason to end, or None.
      steps_per_call: the most steps in a call; 0 adapts the number to two seconds.

    What is due at the first step is done first, since a run that was stopped there left it out. Actions keep track of
    what they have done already.

    Returns:
      The step reached, and the reason for ending there, or None.

    Raises:
      RuntimeError: a call made no step and gave no reason.
    """
    step, per_call, compiled = read_step(), steps_per_call or 1, False

    def act() -> str | None:
        """The first reason to end; actions after it are left out."""
        return next((reason for action in actions if action.due(step, total) and (reason := action.run(step))), None)

    reason = act() if step else None
    if reason is not None:
        return step, reason
    while step < total:
        target = min([step + per_call, total, *(action.next_after(step, total) for action in actions)])
        start = time.monotonic()
        train_steps(iterator, tf.constant(target - step, tf.int64))
        before, step = step, read_step()
        seconds = (time.monotonic() - start) / max(1, step - before)
        if not steps_per_call and compiled:
            per_call = max(1, min(per_call * 2, int(_SECONDS_PER_CALL / max(seconds, 1e-6))))
        compiled = True
        reason = after_call(step)
        if reason is None and step == before:
            raise RuntimeError(f"A call for {target - before} steps at step {before} made none.")
        reason = reason or act()
        if reason is not None:
            return step, reason
    return step, None
