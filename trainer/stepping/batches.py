"""Which data each step sees, and the distributed batches from a given step on."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from configs.schema import Config
from trainer.data import training_batches


def data_step(step: int, skipped: Sequence[int]) -> int:
    """The data's step that training step `step` sees: in order, without the skipped ones."""
    position = step
    for bad in sorted(skipped):
        if bad <= position:
            position += 1
    return position


def batches_from(
    source, config: Config, strategy: tf.distribute.Strategy, *, step: int, total: int, skipped: Sequence[int] = ()
):
    """The run's distributed batches from a step on: each worker makes its own share, and each replica gets its part."""

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        where = dict(
            shard_index=context.input_pipeline_id,
            shard_count=context.num_input_pipelines,
            parts=context.num_replicas_in_sync // context.num_input_pipelines,
            processes=True,
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
