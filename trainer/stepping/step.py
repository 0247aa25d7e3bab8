"""The training step, the project's only GradientTape. It reads from top to bottom:

forward -> loss -> differentiate -> (micro-batches) -> sum over replicas -> finite? -> clip -> apply -> average

One meaning on any number of replicas and micro-batches: each of the N x M shares of the global batch contributes its
loss divided by N x M; gradients are summed first, and only then unscaled, tested, clipped and applied, so every
decision is taken once and alike everywhere. Nothing here waits for the host.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from configs.schema import Config
from trainer import guard
from trainer.distribution.all_reduce import sum_over_replicas
from trainer.models.check import check_compiled, check_model
from trainer.stepping.global_sums import GlobalSums
from trainer.stepping.objective import Objective
from trainer.stepping.state import TrainState
from trainer.stepping.totals import Totals
from trainer.stepping.wide import images_together, wide_variables

# What the step reads of a batch.
_READ = ("image", "label")


def make_train_steps(
    state: TrainState, objective: Objective, totals: Totals, strategy: tf.distribute.Strategy, config: Config,
    warn: Callable[[guard.Report], None] = guard.Report.print,
) -> Callable[[object, tf.Tensor], None]:
    """Builds `train_steps(iterator, count)`: up to `count` steps in one call on the device.

    It ends early when a non-finite gradient stops the run (`state.halted`). `count` is an int64 tensor, so that no
    number of steps traces again. `warn` is called with what the guard finds where `config.guard.missing` is "warn",
    once a trace of a replica's micro-batch.

    Raises (at once, or while tracing, before the first step):
      UserError: the model or the config cannot be trained so; see `trainer.models.check`.
      guard.MissingGradientError: a trainable variable gets no gradient, or one that the forward pass reads is in no
        list, unless the config accepts it.
    """
    n, m = strategy.num_replicas_in_sync, config.train.accumulate
    check_model(state.model, strategy)
    check_compiled(config, state.model, objective.batchwide, n)
    model, variables = state.model, state.trainable
    skips, together = _skips_nonfinite(config, state), images_together(config)
    # What the forward pass itself writes (batch normalisation's moving statistics) is put back when a step is skipped.
    written = [v.value for v in model.non_trainable_variables if v.dtype.startswith("float")] if skips else []

    def share_of_loss(images, labels, all_reduce):
        """One micro-batch of one replica: the loss, and its share of the global one, scaled against underflow."""
        with guard.reads() as reads, tf.GradientTape() as tape, wide_variables(tape, together) as stand_ins:
            outputs = model(images, training=True)
            value = objective(labels, outputs, all_reduce)
            loss = tf.add_n([value.total, *model.losses]) if model.losses else value.total
            share = loss / (n * m)
            if state.loss_scale.enabled:
                share *= tf.convert_to_tensor(state.loss_scale.scale)
        gradients = stand_ins.gradients(share, variables)
        if config.guard.missing != "off":
            guard.check_traced(
                loss, variables, gradients, watched=tape.watched_variables(), reads=reads,
                allow=config.guard.allow, missing=config.guard.missing, warn=warn,
                allow_form="--config.guard.allow='{}'",
            )  # fmt: skip
        gradients = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        return gradients, totals.of_micro_batch(loss, value.parts, labels, outputs)

    if config.train.jit_compile:
        share_of_loss = tf.function(share_of_loss, jit_compile=True)

    def reduced_gradients(batch):
        """In replica context: the global batch's gradients, still scaled, the same on every replica."""
        before = [tf.identity(v) for v in written]
        # With several workers tf.distribute no longer knows how many images there are.
        batch = {k: tf.ensure_shape(batch[k], [config.train.batch_size // n, *batch[k].shape[1:]]) for k in _READ}
        # Every M-th image, not M runs of them: image i of the global batch is then in micro-batch i mod M on any N.
        parts = [{k: batch[k][i::m] for k in _READ} for i in range(m)]
        sums = GlobalSums(n, m)
        if objective.batchwide and m > 1:
            sums.collect(model, objective, parts)
        gradients, report, done = None, 0.0, []
        for part in parts:
            # One micro-batch after the other: without the dependency TensorFlow computes them side by side, and the
            # memory that accumulation is for is not saved.
            with tf.control_dependencies(done):
                new, of_part = share_of_loss(
                    part["image"], part["label"], sums.next_part() if objective.batchwide else None
                )
            gradients = new if gradients is None else [_add(a, b) for a, b in zip(gradients, new, strict=True)]
            report += of_part / m
            done = [g for g in gradients if g is not None] if m > 1 else []
        if n > 1:
            gradients, report = _sum_over_replicas(gradients, report / n)
        # What layers told in float64 is rounded here, once.
        gradients = [None if g is None else tf.cast(g, v.dtype) for g, v in zip(gradients, variables, strict=True)]
        return gradients, report, before

    def apply(gradients, factor):
        """In replica context. Keras sums over the replicas once more: one hands in the gradient, the others zeros."""
        first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        factor = tf.where(first, factor, 0.0)
        scaled = [(g * tf.cast(factor, g.dtype), v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        state.optimizer.apply([g for g, _ in scaled], [v for _, v in scaled])

    def one_step(iterator):
        gradients, report, before = strategy.run(reduced_gradients, args=(next(iterator),))
        local = [_first(strategy, g) for g in gradients]
        squares = 2.0 * tf.stack([0.0 if g is None else tf.cast(tf.nn.l2_loss(g), tf.float32) for g in local])
        scale = tf.convert_to_tensor(state.loss_scale.scale)
        norm = tf.sqrt(tf.reduce_sum(squares)) / scale
        report = _first(strategy, report)
        finite = tf.math.is_finite(norm) & tf.math.is_finite(report[0])
        clip = config.optimizer.clip_norm
        factor = (clip / tf.maximum(norm, clip) if clip else 1.0) / scale

        def update():
            strategy.run(apply, args=(gradients, factor))
            _average(strategy, state, config.optimizer.ema_decay)
            return tf.constant(True)

        def skip():
            for variable, value in zip(written, before, strict=True):
                strategy.extended.update(variable, lambda v, old: v.assign(old), args=(value,))
            return tf.constant(False)

        tf.cond(finite, update, skip)
        state.loss_scale.update(finite)
        _count(state, finite, squares, stops=not skips)
        totals.add(report, norm, finite)

    @tf.function
    def train_steps(iterator, count):
        done = tf.zeros_like(count)
        while done < count and state.halted == 0:
            one_step(iterator)
            done += 1

    return train_steps


def _skips_nonfinite(config: Config, state: TrainState) -> bool:
    """Whether a step with a non-finite gradient is left out, or ends the run."""
    how = config.guard.nonfinite
    return how == "skip" or (how == "auto" and state.loss_scale.enabled)


def _add(a, b):
    return None if a is None else a + b


def _first(strategy, value):
    """This worker's first copy of what is the same on every replica."""
    return None if value is None else strategy.experimental_local_results(value)[0]


def _sum_over_replicas(gradients, report):
    """One all-reduce for all gradients and the report, of one type so that one is enough; a None stays one."""
    present = [g for g in gradients if g is not None]
    wide = any(g.dtype == tf.float64 for g in present)
    *summed, total = sum_over_replicas([tf.cast(g, tf.float64) if wide else g for g in [*present, report]])
    summed = iter(summed)
    return [None if g is None else next(summed) for g in gradients], tf.cast(total, report.dtype)


def _average(strategy, state: TrainState, decay: float) -> None:
    for average, variable in zip(state.averages, state.trainable, strict=False):
        strategy.extended.update(
            average, lambda a, w: a.assign_sub((a - w) * (1.0 - decay)), args=(variable.value,), group=False
        )


def _count(state: TrainState, finite, squares, *, stops: bool) -> None:
    """The counters after a step. A stopped step is not counted: it is to be run again and looked at."""
    bad = tf.cast(~finite, tf.int64)
    state.offenders.assign(tf.where(finite, state.offenders, tf.cast(~tf.math.is_finite(squares), tf.int32)))
    state.zero_streak.assign(tf.where(squares == 0.0, state.zero_streak + 1, tf.zeros_like(state.zero_streak)))
    if stops:
        state.halted.assign(tf.cast(bad, tf.int32))
        state.step.assign_add(1 - bad)
    else:
        recent = tf.convert_to_tensor(state.recent_skipped)
        state.recent_skipped.assign(tf.where(finite, recent, tf.concat([recent[1:], state.step[None]], 0)))
        state.step.assign_add(1)
        state.skipped.assign_add(bad)
        state.in_row.assign((state.in_row + 1) * bad)
