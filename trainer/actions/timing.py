"""When an action is due ("100 steps", "2 epochs", "evaluation", "end"), and its function, by name or as an object."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from configs.reading import actions as texts
from trainer.errors import UserError, numbered
from trainer.parts import name_of, resolve, takes
from trainer.stepping.intervals import Intervals


@dataclasses.dataclass(frozen=True)
class Timed:
    """An action and when it is due: every `every` steps, after each evaluation, or, without either, at the end."""

    function: Callable[..., str | None]
    name: str
    every: int = 0
    after_evaluation: bool = False

    @property
    def at_end(self) -> bool:
        """Called once, when the run ends, early or not, but not where it is interrupted."""
        return not self.every and not self.after_evaluation


def timed(actions: Iterable[Any], intervals: Intervals) -> list[Timed]:
    """The user's actions with their times in steps; arguments and errors are those of `paired`.

    Args:
      intervals: of the run, for what an epoch is.
    """
    found = []
    for when, function, name in paired(actions):
        if when == "evaluation":
            found.append(Timed(function, name, after_evaluation=True))
        else:
            found.append(Timed(function, name, every=0 if when == "end" else intervals.of(when)))
    return found


def paired(actions: Iterable[Any]) -> list[tuple[Any, Callable, str]]:
    """(time, function, the function's name) of each action.

    Args:
      actions: pairs of a time (a number of steps, "2 epochs", "5%", "evaluation", "end") and a function of (run, step),
        or the name of one; the config's text "when: package.module:function" is such a pair, too.

    Raises:
      UserError: with everything that is wrong with any of them.
    """
    found, problems = [], []
    if callable(actions) or isinstance(actions, (str, Mapping)):
        raise UserError(f"actions is {reprlib.repr(actions)}: write a list of pairs, [(100, function)].")
    for number, action in enumerate(actions):
        where = f"actions[{number}]"
        try:
            when, part = _pair(action, where)
            function = resolve(part, where)
            if isinstance(function, type):
                function = function()
            if not callable(function):
                raise UserError(f"{where}: {name_of(function)} cannot be called; write def action(run, step).")
            if not takes(function, 2):
                raise UserError(f"{where}: {name_of(function)} is called as action(run, step): write it with both.")
            found.append((when, function, name_of(part)))
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(numbered(problems))
    return found


def _pair(action: Any, where: str) -> tuple[Any, Any]:
    try:
        if isinstance(action, str):
            return texts.parse(action)
        if not isinstance(action, (tuple, list)) or len(action) != 2:
            shown = reprlib.repr(action)
            raise UserError(f'{where} is {shown}: write a pair, (100, function) or ("2 epochs", function).')
        return texts.when(action[0]), action[1]
    except ValueError as error:
        raise UserError(f"{where}: {str(error).rstrip('.')}{'' if str(error).endswith('?') else '.'}") from error
