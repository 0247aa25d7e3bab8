"""Intervals of numbers, written as in mathematics: "[0, 1)" holds 0 and not 1, "(0, inf)" everything above 0."""

from __future__ import annotations

import dataclasses
import math
import re

_FORM = re.compile(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])")


@dataclasses.dataclass(frozen=True)
class Interval:
    """From `low` to `high`; an open end excludes its number."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Reads "[0, 1)", "(0, inf)" and the like.

        Raises:
            ValueError: The text is not an interval.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f'{text!r} is not an interval: write "[0, 1)", "(0, inf)" or the like')
        left, low, high, right = match.groups()
        return cls(float(low), float(high), open_low=left == "(", open_high=right == ")")

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self):
        """In words: "from 0 to below 1", "at least 1", "above 0"."""
        low, high = (f"{number:g}" if abs(number) < 1e6 else f"{number:.0f}" for number in (self.low, self.high))
        if self.high == math.inf:
            return f"above {low}" if self.open_low else f"at least {low}"
        return f"{'above' if self.open_low else 'from'} {low} {'to below' if self.open_high else 'to'} {high}"
