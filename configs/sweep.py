"""What a sweep tries: ranges over fields of the config, and how many trials, for how long, drawn how.

A sweep file (`configs/sweeps/nuclei.py`, …) returns a `Sweep`. Only the standard library is needed, so that a wrong
file is reported before TensorFlow is loaded; `configs/reading/sweeps.py` checks the ranges.

    from configs.sweep import Sweep, between, one_of

    def get_sweep() -> Sweep:
        return Sweep(
            ranges={
                "optimizer.learning_rate": between(3e-4, 3e-2, log=True),
                "model.width": one_of(8, 12, 16),
            },
            trials=30,
        )
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from configs.knobs import knob, section


@dataclasses.dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, both included; whole ones where the field is whole. `log`: drawn log-uniformly."""

    low: float
    high: float
    log: bool = False

    def __str__(self):
        return f"between({self.low!r}, {self.high!r}{', log=True' if self.log else ''})"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of these values."""

    values: tuple[Any, ...]

    def __str__(self):
        return f"one_of({', '.join(map(repr, self.values))})"


def between(low: float, high: float, *, log: bool = False) -> Between:
    """Numbers from `low` to `high`, both included; whole ones where the field is whole.

    Args:
        low, high: The ends.
        log: Drawn log-uniformly: 0.001 to 0.01 as often as 0.01 to 0.1. For rates and decays.
    """
    return Between(low, high, log)


def one_of(*values: Any) -> OneOf:
    """One of these values, which may be of any type that the field takes: one_of("dice", "dice+cross_entropy")."""
    return OneOf(values)


@section
class Sweep:
    # Path of a field -> `between(…)` or `one_of(…)`.
    ranges: Mapping = dataclasses.field(default_factory=dict)
    trials: int = knob(
        20, "Settings that are tried. More in a later call go on from those there are.", within="[1, inf)"
    )
    minutes: float = knob(
        0.0,
        "Time of one call, which then ends; the next one goes on. 0 is no bound.",
        unit="minutes",
        within="[0, inf)",
    )
    sampler: Literal["tpe", "random"] = knob(
        "tpe", "How settings are drawn: by Optuna's TPE, which learns from the scores so far, or at random."
    )
    pauses: int = knob(
        2,
        "How often a trial is paused on its way, to be compared with the others. With 2 and reduction=3: after a ninth "
        "and a third of its steps. 0 trains every trial to its end.",
        within="[0, 8]",
    )
    reduction: int = knob(3, "Of so many trials at a pause the best goes on.", within="[2, 100]")
    seed: int = knob(
        0,
        "Of the draws; the trials themselves have the config's seed.",
        within="[0, 2147483647]",
        why="seeds are 32-bit",
    )
