"""Durations as text: "500 steps", "3 epochs", "5%"; read in one place, exactly, in rational numbers.

An epoch need not be a whole number of steps (150 images in batches of 8 are 18.75 steps), and a percentage need not be
either. A duration between two steps is rounded up: three epochs show every image at least three times, and events every
25% of 1001 steps are four, without a fifth one step later.
"""

from __future__ import annotations

import dataclasses
import math
import re
from fractions import Fraction

from configs.reading.nearest import nearest

_UNITS = {"step": "steps", "steps": "steps", "epoch": "epochs", "epochs": "epochs", "%": "%", "percent": "%"}
# Far beyond any run, and with any data set within the 64 bits of the step counter.
_MOST = {"steps": 10**12, "epochs": 10**9}
_FORM = re.compile(r"\s*(?P<amount>\d[\d_]*(?:\.\d+)?)\s*(?P<unit>%|[A-Za-z]+)?\s*")


@dataclasses.dataclass(frozen=True)
class Duration:
    """An amount of one unit: "steps", "epochs" or "%" (of the run's length). A zero amount means never."""

    amount: Fraction
    unit: str

    def steps(self, *, steps_per_epoch: int | Fraction, total: int | None = None) -> int:
        """The duration in steps, rounded up.

        Args:
            steps_per_epoch: `Fraction(examples, batch_size)`, or a whole number; floats are refused, they round.
            total: The run's length in steps; only needed for percentages.

        Raises:
            TypeError: `steps_per_epoch` is a float.
            ValueError: A percentage without `total`.
        """
        if not isinstance(steps_per_epoch, (int, Fraction)):
            raise TypeError(
                "`steps_per_epoch` has to be exact: write Fraction(examples, batch_size). Received: "
                f"steps_per_epoch={steps_per_epoch!r}"
            )
        if self.unit == "steps":
            return math.ceil(self.amount)
        if self.unit == "epochs":
            return math.ceil(self.amount * steps_per_epoch)
        if total is None:
            raise ValueError('The length of a run cannot be a share of itself: write "1000 steps" or "3 epochs".')
        return math.ceil(self.amount * total / 100)

    def __str__(self):
        amount = self.amount.numerator if self.amount.denominator == 1 else float(self.amount)
        return f"{amount}%" if self.unit == "%" else f"{amount} {self.unit}"


def parse(text: str) -> Duration:
    """Reads a duration such as "500 steps", "1.5 epochs" or "5%".

    Raises:
        ValueError: The text is not a duration; the message says what to write.
    """
    hint = 'write "500 steps", "3 epochs" or "5%"'
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration: {hint}")
    unit_text = (match["unit"] or "").lower()
    if not unit_text:
        raise ValueError(f'{text!r} has no unit: write "{text.strip()} steps", "{text.strip()} epochs" or "5%"')
    if unit_text not in _UNITS:
        near = nearest(unit_text, _UNITS)
        guess = f' (did you mean "{match["amount"]} {_UNITS[near]}"?)' if near else ""
        raise ValueError(f"{text!r} has the unknown unit {match['unit']!r}{guess}: {hint}")
    amount = Fraction(match["amount"].replace("_", ""))
    unit = _UNITS[unit_text]
    if amount > _MOST.get(unit, amount):
        raise ValueError(f'{text!r} is longer than what is counted: write at most "{_MOST[unit]} {unit}"')
    if unit == "steps" and amount.denominator != 1:
        raise ValueError(f'{text!r} is not a whole number of steps: write "{math.ceil(amount)} steps"')
    if unit == "%" and amount > 100:
        raise ValueError(f'{text!r} is more than the whole run: write at most "100%"')
    return Duration(amount, unit)


def to_steps(text: str, *, steps_per_epoch: int | Fraction, total: int | None = None) -> int:
    """`parse(text).steps(…)`: the duration in steps, rounded up; 0 means never."""
    return parse(text).steps(steps_per_epoch=steps_per_epoch, total=total)
