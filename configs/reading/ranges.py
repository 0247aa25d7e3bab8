"""The numbers a field may hold by itself, one row a field."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Range:
    """`low <= value <= high`; an open end excludes its number. `why` tells the user the reason, where one is needed."""

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    why: str = ""

    def holds(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self):
        if self.high == math.inf:
            return f"above {self.low:g}" if self.open_low else f"at least {self.low:g}"
        low, high = (f"{number:g}" if abs(number) < 1e6 else f"{number}" for number in (self.low, self.high))
        return f"{'above' if self.open_low else 'from'} {low} {'to below' if self.open_high else 'to'} {high}"


_COUNT = Range(0)
_SOME = Range(1)
_SHARE_BELOW_1 = Range(0, 1, open_high=True)

# Lists are checked item by item.
RANGES = {
    "seed": Range(0, 2**31 - 1, why="seeds are 32-bit"),
    "logical_devices": Range(0, 64),
    "data.validation_fraction": Range(0, 1, open_low=True, open_high=True, why="neither split may be empty"),
    "data.split_seed": Range(0, 2**31 - 1, why="seeds are 32-bit"),
    "data.mask_ids": Range(-1, 65535),
    "data.mask_colors": Range(-1, 65535),
    "data.void_id": Range(-1, 65535),
    "data.max_pixels": _SOME,
    "data.cache_mib": _COUNT,
    "data.workers": Range(0, 1024),
    "augment.crop": Range(1, 16384),
    "augment.scale": Range(0.01, 100),
    "augment.brightness": Range(0, 1, why="it is a share of the range of brightness"),
    "augment.color": Range(0, 1, open_high=True, why="a factor of 0 leaves nothing of a channel"),
    "augment.contrast": Range(0, 1, open_high=True, why="a factor of 0 leaves nothing of the image"),
    "model.width": Range(1, 4096),
    "model.depth": Range(1, 8, why="each level halves the resolution"),
    "model.norm_momentum": _SHARE_BELOW_1,
    "model.dropout": _SHARE_BELOW_1,
    "optimizer.learning_rate": Range(0, open_low=True, why="nothing would be learnt"),
    "optimizer.final_fraction": Range(0, 1),
    "optimizer.power": Range(0, open_low=True),
    "optimizer.weight_decay": _COUNT,
    "optimizer.beta_1": _SHARE_BELOW_1,
    "optimizer.beta_2": _SHARE_BELOW_1,
    "optimizer.epsilon": Range(0, open_low=True, why="it keeps a division from 0"),
    "optimizer.momentum": _SHARE_BELOW_1,
    "optimizer.clip_norm": Range(0, why="0 is off"),
    "optimizer.ema_decay": Range(0, 1, open_high=True, why="0 is off"),
    "train.batch_size": Range(1, 2**20),
    "train.accumulate": _SOME,
    "train.steps_per_call": _COUNT,
    "evaluate.tile": Range(0, 65536),
    "evaluate.tile_overlap": _COUNT,
    "evaluate.panels": Range(0, 1000),
    "evaluate.patience": _COUNT,
    "checkpoint.keep": _SOME,
    "guard.max_skips": _SOME,
    "guard.zero_steps": _COUNT,
}
