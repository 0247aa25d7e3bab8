"""A value of the plan with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from configs.reading import fields
from configs.schema import Config


@dataclasses.dataclass(frozen=True)
class Choice:
    """A field of the config, its value, and the reason: the figure from which it follows."""

    field: str
    value: Any
    reason: str


def with_choices(config: Config, choices: Sequence[Choice]) -> Config:
    """The config with the choices' values; of several for a field the last counts."""
    return fields.replace(config, {choice.field: choice.value for choice in choices})


def size(sides: Iterable[float]) -> str:
    """Sides in words: "1 x 0.8 x 0.8"."""
    return " x ".join(f"{side:.3g}" if side < 100 else f"{side:.0f}" for side in sides)
