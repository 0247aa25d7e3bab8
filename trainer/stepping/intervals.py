"""Durations of the config in steps of this run."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from configs.reading.durations import Duration, to_steps
from configs.schema import Config


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Distances and lengths in steps; 0 is never.

    Attributes:
      examples: training images, an epoch.
      total: length of the run.
    """

    examples: int
    batch_size: int
    total: int
    warmup: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int

    @property
    def epochs(self) -> float:
        return self.total * self.batch_size / self.examples

    def of(self, duration: Duration) -> int:
        """A duration in steps of this run."""
        return duration.steps(steps_per_epoch=Fraction(self.examples, self.batch_size), total=self.total)

    def margin(self, every: int) -> int:
        """How near to the end an occasion is left to the end: no checkpoint two steps before the last."""
        return max(2, every // 10) if every else 0


def make_intervals(config: Config, examples: int) -> Intervals:
    """Turns the config's durations into steps, for a training set of so many images."""
    per_epoch = Fraction(examples, config.train.batch_size)
    total = to_steps(config.train.length, steps_per_epoch=per_epoch)

    def steps(text: str) -> int:
        return to_steps(text, steps_per_epoch=per_epoch, total=total)

    return Intervals(
        examples=examples,
        batch_size=config.train.batch_size,
        total=total,
        warmup=steps(config.optimizer.warmup),
        log_every=steps(config.train.log_every),
        evaluate_every=steps(config.evaluate.every),
        checkpoint_every=steps(config.checkpoint.every),
    )
