"""The config's durations, in steps of this run."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from configs.reading.durations import Duration, to_steps
from configs.schema import Config
from trainer.errors import UserError


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Distances and lengths in steps; 0 is never.

    Attributes:
      examples: training images in an epoch; None for a stream of unknown length, where no duration may be in epochs.
      total: length of the run.
    """

    examples: int | None
    batch_size: int
    total: int
    warmup: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int

    @property
    def epochs(self) -> float | None:
        return None if self.examples is None else self.total * self.batch_size / self.examples

    def of(self, duration: Duration) -> int:
        """A duration in steps of this run."""
        if self.examples is None and duration.unit == "epochs":
            raise UserError(f'"{duration}": the length of an epoch is not known for these data. Write steps.')
        return duration.steps(steps_per_epoch=Fraction(self.examples or 1, self.batch_size), total=self.total)

    def margin(self, every: int) -> int:
        """How near to the end an occasion is left to the end: no checkpoint two steps before the last, unless asked."""
        return min(every - 1, max(2, every // 10)) if every else 0


def make_intervals(config: Config, examples: int | None) -> Intervals:
    """Turns the config's durations into steps, for a training set of this many images.

    Where the number is None no duration is in epochs: `open_data` refuses that.
    """
    per_epoch = Fraction(examples or 1, config.train.batch_size)
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
