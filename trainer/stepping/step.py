"""The training step, the project's only GradientTape. It reads from top to bottom, once for each phase of the task:

forward -> loss -> differentiate -> (micro-batches) -> sum over replicas -> finite? -> clip -> apply -> average

The step means the same on any number of replicas and micro-batches: each of the N x M shares of the global batch
contributes its loss divided by N x M. Gradients are summed first, and only then unscaled, tested, clipped and applied,
so that every replica takes the same decisions. Nothing here waits for the host.

AutoGraph converts only the user's code, which begins at `_outcome` and `_after_update`: converting the step itself
would take a second or two of processor time at each start.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import tensorflow as tf

from configs.reading.setting_names import named
from configs.schema import Config
from trainer import guard
from trainer.distribution.all_reduce import sum_over_replicas
from trainer.models.check import check_compiled, check_model
from trainer.stepping.global_sums import GlobalSums, offered
from trainer.stepping.state import TrainState, Update
from trainer.stepping.task import Task, terms_of
from trainer.stepping.totals import Totals
from trainer.stepping.unsaved_random_state import unsaved_draws
from trainer.stepping.variables import in_place, is_to_learn, own_and_other, put_back, strange, written
from trainer.stepping.waiting_for_data import Waiting
from trainer.tracing import traced


@dataclasses.dataclass(frozen=True)
class Steps:
    """The compiled step.

    many: `many(iterator, count)`: up to `count` steps in one call on the device; it ends early when a non-finite
      gradient stops the run (`state.halted`). `count` is an int64 tensor, so that a new number does not trace again.
    one: `one(batch)`: one step on a distributed global batch; returns its report, a row of `Totals`.
    """

    many: tf.types.experimental.PolymorphicFunction
    one: tf.types.experimental.PolymorphicFunction


def make_train_steps(
    state: TrainState,
    totals: Totals,
    strategy: tf.distribute.Strategy,
    config: Config,
    warn: Callable[[guard.Report], None] = guard.Report.print,
    waiting: Waiting | None = None,
    remark: Callable[[str], None] = lambda text: None,
) -> Steps:
    """Builds the step.

    Args:
      warn: called with the guard's report where `config.guard.missing` is "warn", once for each trace of a replica's
        micro-batch.
      waiting: adds up the time that `many` waits for batches.
      remark: called while tracing, possibly several times, with a remark for the user, or "".

    Raises (at once, or while tracing, before the first step):
      UserError: the models or the config cannot be trained like this; see `trainer.models.check`.
      guard.MissingGradientError: a trainable variable gets no gradient, or the forward pass reads a variable that no
        layer lists, and the config does not accept it.
    """
    task, n, m = state.task, strategy.num_replicas_in_sync, config.train.micro_batches
    for model in state.models.values():
        check_model(model, strategy, trained=any(is_to_learn(model, update, task) for update in state.updates))
    check_compiled(config, state.models.values(), bool(task.batchwide), n)
    stops, clip = not _skips_nonfinite(config, state), config.optimizer.clip_norm
    outcome_of, after_update = tf.autograph.to_graph(_outcome), tf.autograph.to_graph(_after_update)

    def share_of_loss(update: Update, part: Mapping[str, tf.Tensor], all_reduce):
        """One micro-batch on one replica: its share of the gradients, still scaled, and its report."""
        graph = tf.compat.v1.get_default_graph()
        before = len(graph.get_operations())
        with guard.reads() as reads, tf.GradientTape() as tape, offered(all_reduce):
            outcome = outcome_of(task, update.name, part)
            _remark_draws(remark, graph.get_operations()[before:])
            terms = terms_of(outcome, update.phase, task)
            penalties = update.penalties()
            loss = _sum([*terms.values(), *penalties])
            share = loss / (n * m)
            if state.loss_scale.enabled:
                # Small gradients would underflow in float16.
                share *= tf.convert_to_tensor(state.loss_scale.scale)
        gradients = tape.gradient(share, list(update.variables))
        if config.guard.missing != "off":
            guard.check_traced(
                loss,
                update.variables,
                gradients,
                watched=strange(tape.watched_variables(), state, update),
                reads=reads,
                allow=config.guard.allow,
                missing=config.guard.missing,
                warn=warn,
                allow_form=named("--config.guard.allow='{}'"),
            )
        gradients = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        return gradients, totals.share(loss, terms, outcome.ratios, update.name, penalties)

    def compiled_share(update: Update):
        function = functools.partial(share_of_loss, update)
        return tf.function(function, jit_compile=True, autograph=False) if config.train.jit_compile else function

    def global_gradients(update: Update, batch: Mapping[str, tf.Tensor]):
        """The gradients of the global batch, still scaled, alike on every replica. Runs in replica context."""
        # With several workers tf.distribute does not know the number of examples.
        size = config.train.batch_size // n
        batch = {key: tf.ensure_shape(value, [size, *value.shape[1:]]) for key, value in batch.items()}
        # Every M-th example rather than M consecutive runs: example i is in micro-batch i mod M on any N.
        parts = [{key: value[i::m] for key, value in batch.items()} for i in range(m)]
        sums, of_share = GlobalSums(n, m), compiled_share(update)
        if m > 1 and task.batchwide is not False:
            sums.collect(functools.partial(outcome_of, task, update.name), written(state), parts)
        gradients, report, done = None, 0.0, []
        for part in parts:
            # Without this dependency TensorFlow computes micro-batches side by side, and accumulation saves no memory.
            with tf.control_dependencies(done):
                new, of_part = of_share(part, sums.next_part() if task.batchwide is not False else None)
            gradients = new if gradients is None else [_add(a, b) for a, b in zip(gradients, new, strict=True)]
            report += of_part / m
            done = [g for g in gradients if g is not None] if m > 1 else []
        return _sum_over_replicas(gradients, report / n) if n > 1 else (gradients, report)

    def apply(update: Update, gradients, factor):
        """Runs in replica context, where every replica has the gradients of the global batch."""
        scaled = [
            (g * tf.cast(factor, g.dtype), v) for g, v in zip(gradients, update.variables, strict=True) if g is not None
        ]
        update.optimizer.apply([g for g, _ in scaled], [v for _, v in scaled])

    def one_update(update: Update, batch, going_on):
        """One phase: whether its gradients were finite, their squared norms by variable, and its report."""
        # The forward pass writes variables of its own (batch normalisation's statistics). They are put back for models
        # that this phase does not train, and for all models where the step is skipped.
        own, other = own_and_other(written(state, floats=True), update)
        before_own = [] if stops else [tf.identity(v.value) for v in own]
        before_other = [tf.identity(v.value) for v in other]
        gradients, report = strategy.run(functools.partial(global_gradients, update), args=(batch,))
        local, report = [_first(strategy, g) for g in gradients], _first(strategy, report)
        squares = 2.0 * tf.stack(
            in_place(state, update, [0.0 if g is None else tf.cast(tf.nn.l2_loss(g), tf.float32) for g in local])
        )
        scale = tf.convert_to_tensor(state.loss_scale.scale)
        norm = tf.sqrt(tf.reduce_sum(squares)) / scale
        finite = tf.math.is_finite(norm) & tf.reduce_all(tf.math.is_finite(report))
        factor = (clip / tf.maximum(norm, clip) if clip else 1.0) / scale
        put_back(strategy, other, before_other)

        def update_weights():
            strategy.run(functools.partial(apply, update), args=(gradients, factor))
            return tf.constant(True)

        def skip():
            put_back(strategy, own if before_own else [], before_own)
            return tf.constant(False)

        tf.cond(finite & going_on, update_weights, skip)
        name = f"gradient_norm/{update.name}" if update.name else "gradient_norm"
        return finite, squares, report + totals.row({f"mean/{name}": norm})

    def one_update_if(due, update: Update, batch, going_on):
        if update.every == 1:
            return one_update(update, batch, going_on)
        nothing = (tf.constant(True), tf.zeros(len(state.trainable)), totals.row({}))
        return tf.cond(due, lambda: one_update(update, batch, going_on), lambda: nothing)

    def one_step(batch):
        finite, squares, reports, took_part = tf.constant(True), 0.0, [], 0.0
        for update in state.updates:
            due = _is_due(update, state)
            good, of_update, report = one_update_if(due, update, batch, finite if stops else tf.constant(True))
            finite &= good
            reports.append((report, good))
            squares += of_update
            took_part += tf.stack(in_place(state, update, [tf.cast(due, tf.float32)] * len(update.variables)))

        def follow():
            _average(strategy, state, config.optimizer.ema_decay)
            after_update(task)
            return tf.constant(True)

        tf.cond(finite, follow, lambda: tf.constant(False))
        state.loss_scale.update(finite)
        _count(state, finite, squares, took_part > 0, stops=stops)
        for report, good in reports:
            totals.add(report, good)
        totals.add(totals.row({"steps": 1.0}), finite)
        return tf.add_n([report for report, _ in reports])

    def many(iterator, count):
        def next_step(done):
            one_step(next(iterator) if waiting is None else waiting.next(iterator))
            return done + 1

        tf.while_loop(lambda done: (done < count) & (state.halted == 0), next_step, [tf.zeros_like(count)])

    return Steps(traced(many, autograph=False), traced(one_step, autograph=False))


def _outcome(task: Task, phase: str, part: Mapping[str, tf.Tensor]):
    return task.outcome(part, training=True, phase=phase)


def _after_update(task: Task) -> None:
    task.after_update()


def _remark_draws(remark: Callable[[str], None], operations: list[tf.Operation]) -> None:
    remark(unsaved_draws(operations))


def _skips_nonfinite(config: Config, state: TrainState) -> bool:
    """Whether a step with a non-finite gradient is left out, or ends the run."""
    how = config.guard.nonfinite
    return how == "skip" or (how == "auto" and state.loss_scale.enabled)


def _sum(terms):
    """The terms' sum. A single term stays as it is, so that the guard reports what is wrong with it."""
    return terms[0] if len(terms) == 1 else tf.add_n([tf.cast(term, tf.float32) for term in terms])


def _add(a, b):
    return None if a is None else a + b


def _first(strategy, value):
    """This worker's first copy of a value that is alike on every replica."""
    return None if value is None else strategy.experimental_local_results(value)[0]


def _sum_over_replicas(gradients, report):
    """Sums all gradients and the report in one message; a None stays None."""
    present = [g for g in gradients if g is not None]
    *summed, report = sum_over_replicas([*present, report])
    summed = iter(summed)
    return [None if g is None else next(summed) for g in gradients], report


def _is_due(update: Update, state: TrainState):
    """Whether a phase takes part in this step: with `every=n` in each n-th one."""
    if update.every == 1:
        return tf.constant(True)
    return tf.equal((tf.convert_to_tensor(state.step) + 1) % update.every, 0)


def _average(strategy, state: TrainState, decay: float) -> None:
    for average, variable in zip(state.averages, state.followed, strict=False):
        strategy.extended.update(
            average, lambda a, w: a.assign_sub((a - w) * (1.0 - decay)), args=(variable.value,), group=False
        )


def _count(state: TrainState, finite, squares, took_part, *, stops: bool) -> None:
    """Updates the counters after a step. A step that stops the run is not counted: it will be run again and examined.

    Variables of phases that took no part in the step have no gradient, which does not count as a gradient of zero.
    """
    bad = tf.cast(~finite, tf.int64)
    state.offenders.assign(tf.where(finite, state.offenders, tf.cast(~tf.math.is_finite(squares), tf.int32)))
    streak = tf.where(squares == 0.0, state.zero_streak + 1, tf.zeros_like(state.zero_streak))
    state.zero_streak.assign(tf.where(took_part, streak, state.zero_streak))
    if state.norms is not None:
        norms = tf.where(took_part, tf.sqrt(squares) / tf.convert_to_tensor(state.loss_scale.scale), -1.0)
        state.norms.assign(tf.concat([tf.convert_to_tensor(state.norms)[1:], norms[None]], 0))
    if stops:
        state.halted.assign(tf.cast(bad, tf.int32))
        state.step.assign_add(1 - bad)
    else:
        recent = tf.convert_to_tensor(state.recent_skipped)
        state.recent_skipped.assign(tf.where(finite, recent, tf.concat([recent[1:], state.step[None]], 0)))
        state.step.assign_add(1)
        state.skipped.assign_add(bad)
        state.in_row.assign((state.in_row + 1) * bad)
