"""Durations of the config in steps of this run, and where in the data each step is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import tensorflow as tf

from configs.reading.durations import to_steps
from configs.schema import Config
from trainer.data import training_batches


@dataclasses.dataclass(frozen=True)
class Plan:
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

    def margin(self, every: int) -> int:
        """How near to the end an occasion is left to the end: no checkpoint two steps before the last."""
        return max(2, every // 10) if every else 0


def make_plan(config: Config, examples: int) -> Plan:
    """Turns the config's durations into steps, for a training set of so many images."""
    per_epoch = Fraction(examples, config.train.batch_size)
    total = to_steps(config.train.length, steps_per_epoch=per_epoch)

    def steps(text: str) -> int:
        return to_steps(text, steps_per_epoch=per_epoch, total=total)

    return Plan(
        examples=examples,
        batch_size=config.train.batch_size,
        total=total,
        warmup=steps(config.optimizer.warmup),
        log_every=steps(config.train.log_every),
        evaluate_every=steps(config.evaluate.every),
        checkpoint_every=steps(config.checkpoint.every),
    )


def data_step(step: int, skipped: Sequence[int]) -> int:
    """The step of the data that training step `step` sees: the data's steps in order, without the skipped ones."""
    position = step
    for bad in sorted(skipped):
        if bad <= position:
            position += 1
    return position


def batches_from(
    source, config: Config, strategy: tf.distribute.Strategy, *, step: int, total: int, skipped: Sequence[int] = ()
):
    """The run's batches from a step on, distributed: each worker makes its own share, each replica gets its part."""

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        where = dict(
            shard_index=context.input_pipeline_id,
            shard_count=context.num_input_pipelines,
            parts=context.num_replicas_in_sync // context.num_input_pipelines,
        )
        start, end = data_step(step, skipped), data_step(total - 1, skipped) + 1
        pieces, begin = [], start
        for stop in [*sorted(s for s in skipped if s >= start), end]:
            if stop > begin:
                pieces.append(training_batches(source, config, start_step=begin, steps=stop - begin, **where))
            begin = stop + 1
        joined = pieces[0]
        for piece in pieces[1:]:
            joined = joined.concatenate(piece)
        return joined

    return iter(strategy.distribute_datasets_from_function(dataset))
