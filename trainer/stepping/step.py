"""The training step, the project's only GradientTape. It reads from top to bottom, once for each phase of the task:

forward -> loss -> differentiate -> (micro-batches) -> sum over replicas -> finite? -> clip -> apply -> average

One meaning on any number of replicas and micro-batches: each of the N x M shares of the global batch contributes its
loss divided by N x M; gradients are summed first, and only then unscaled, tested, clipped and applied, so every
decision is taken once and alike everywhere. Nothing here waits for the host.

AutoGraph serves the user's code alone, which begins at `_outcome` and `_after_update`: converting the step itself would
take a second or two of processor time at each start.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from configs.reading.setting_names import named
from configs.schema import Config
from trainer import guard
from trainer.distribution.all_reduce import sum_over_replicas
from trainer.models.check import check_compiled, check_model
from trainer.stepping.global_sums import GlobalSums, offered
from trainer.stepping.state import TrainState, Update, task_variables
from trainer.stepping.task import Task, is_named, terms_of
from trainer.stepping.totals import Totals
from trainer.stepping.unsaved_random_state import unsaved_draws
from trainer.stepping.waiting_for_data import Waiting


@dataclasses.dataclass(frozen=True)
class Steps:
    """The compiled step.

    many: `many(iterator, count)`: up to `count` steps in one call on the device; it ends early when a non-finite
      gradient stops the run (`state.halted`). `count` is an int64 tensor, so that no number of steps traces again.
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

    `warn` is called with what the guard finds where `config.guard.missing` is "warn", once a trace of a replica's
    micro-batch. `waiting` adds up the time that `many` waits for batches. `remark` is called while tracing with
    what is to be known, empty where nothing is, several times.

    Raises (at once, or while tracing, before the first step):
      UserError: the models or the config cannot be trained so; see `trainer.models.check`.
      guard.MissingGradientError: a trainable variable gets no gradient, or one that the forward pass reads is in no
        list, unless the config accepts it.
    """
    task, n, m = state.task, strategy.num_replicas_in_sync, config.train.micro_batches
    for model in state.models.values():
        check_model(model, strategy, trained=any(_is_to_learn(model, update, task) for update in state.updates))
    check_compiled(config, state.models.values(), bool(task.batchwide), n)
    stops, clip = not _skips_nonfinite(config, state), config.optimizer.clip_norm
    outcome_of, after_update = tf.autograph.to_graph(_outcome), tf.autograph.to_graph(_after_update)

    def share_of_loss(update: Update, part: Mapping[str, tf.Tensor], all_reduce):
        """One micro-batch of one replica: its share of the global loss's gradients, still scaled, and its report."""
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
                # Against underflow in float16.
                share *= tf.convert_to_tensor(state.loss_scale.scale)
        gradients = tape.gradient(share, list(update.variables))
        if config.guard.missing != "off":
            guard.check_traced(
                loss,
                update.variables,
                gradients,
                watched=_strange(tape.watched_variables(), state, update),
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
        """In replica context: the gradients of the global batch, still scaled, the same on every replica."""
        # With several workers tf.distribute no longer knows how many examples there are.
        size = config.train.batch_size // n
        batch = {key: tf.ensure_shape(value, [size, *value.shape[1:]]) for key, value in batch.items()}
        # Every M-th example, not M runs of them: example i of the global batch is in micro-batch i mod M on any N.
        parts = [{key: value[i::m] for key, value in batch.items()} for i in range(m)]
        sums, of_share = GlobalSums(n, m), compiled_share(update)
        if m > 1 and task.batchwide is not False:
            sums.collect(functools.partial(outcome_of, task, update.name), _written(state), parts)
        gradients, report, done = None, 0.0, []
        for part in parts:
            # One micro-batch after the other: without the dependency TensorFlow computes them side by side, and the
            # memory that accumulation is for is not saved.
            with tf.control_dependencies(done):
                new, of_part = of_share(part, sums.next_part() if task.batchwide is not False else None)
            gradients = new if gradients is None else [_add(a, b) for a, b in zip(gradients, new, strict=True)]
            report += of_part / m
            done = [g for g in gradients if g is not None] if m > 1 else []
        return _sum_over_replicas(gradients, report / n) if n > 1 else (gradients, report)

    def apply(update: Update, gradients, factor):
        """In replica context, where the gradients are the global batch's on every replica."""
        scaled = [
            (g * tf.cast(factor, g.dtype), v) for g, v in zip(gradients, update.variables, strict=True) if g is not None
        ]
        update.optimizer.apply([g for g, _ in scaled], [v for _, v in scaled])

    def one_update(update: Update, batch, going_on):
        """One phase; returns whether it was applied, its gradients' squares, and its report."""
        # What the forward pass itself writes (batch normalisation's statistics) is put back where it is not wanted: of
        # models that this phase does not train, and of all where the step is skipped.
        own, other = _own_and_other(_written(state, floats=True), update)
        before_own = [] if stops else [tf.identity(v.value) for v in own]
        before_other = [tf.identity(v.value) for v in other]
        gradients, report = strategy.run(functools.partial(global_gradients, update), args=(batch,))
        local, report = [_first(strategy, g) for g in gradients], _first(strategy, report)
        squares = 2.0 * tf.stack(
            _in_place(state, update, [0.0 if g is None else tf.cast(tf.nn.l2_loss(g), tf.float32) for g in local])
        )
        scale = tf.convert_to_tensor(state.loss_scale.scale)
        norm = tf.sqrt(tf.reduce_sum(squares)) / scale
        finite = tf.math.is_finite(norm) & tf.reduce_all(tf.math.is_finite(report))
        factor = (clip / tf.maximum(norm, clip) if clip else 1.0) / scale
        _put_back(strategy, other, before_other)

        def update_weights():
            strategy.run(functools.partial(apply, update), args=(gradients, factor))
            return tf.constant(True)

        def skip():
            _put_back(strategy, own if before_own else [], before_own)
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
            took_part += tf.stack(_in_place(state, update, [tf.cast(due, tf.float32)] * len(update.variables)))

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

    @tf.function(autograph=False)
    def many(iterator, count):
        def next_step(done):
            one_step(next(iterator) if waiting is None else waiting.next(iterator))
            return done + 1

        tf.while_loop(lambda done: (done < count) & (state.halted == 0), next_step, [tf.zeros_like(count)])

    @tf.function(autograph=False)
    def one(batch):
        return one_step(batch)

    return Steps(many, one)


def _outcome(task: Task, phase: str, part: Mapping[str, tf.Tensor]):
    return task.outcome(part, training=True, phase=phase)


def _after_update(task: Task) -> None:
    task.after_update()


def _remark_draws(remark: Callable[[str], None], operations: list[tf.Operation]) -> None:
    remark(unsaved_draws(operations))


def _is_to_learn(model: keras.Model, update: Update, task: Task) -> bool:
    """Whether something of a model has to be trainable: it is named by a phase, or nothing else in the update is.

    A frozen teacher beside its student is an attribute like any other.
    """
    names = update.phase.models if update.phase is not None else ()
    by_name = any(part is model and is_named(name, names) for name, part in task.models().items())
    return model in update.trained and (not update.variables or by_name)


def _skips_nonfinite(config: Config, state: TrainState) -> bool:
    """Whether a step with a non-finite gradient is left out, or ends the run."""
    how = config.guard.nonfinite
    return how == "skip" or (how == "auto" and state.loss_scale.enabled)


def _sum(terms):
    """The terms' sum. A single term is handed on as it is: what is wrong with it the guard says."""
    return terms[0] if len(terms) == 1 else tf.add_n([tf.cast(term, tf.float32) for term in terms])


def _add(a, b):
    return None if a is None else a + b


def _first(strategy, value):
    """This worker's first copy of what is the same on every replica."""
    return None if value is None else strategy.experimental_local_results(value)[0]


def _sum_over_replicas(gradients, report):
    """One message for all gradients and the report; a gradient that is None stays one."""
    present = [g for g in gradients if g is not None]
    *summed, report = sum_over_replicas([*present, report])
    summed = iter(summed)
    return [None if g is None else next(summed) for g in gradients], report


def _is_due(update: Update, state: TrainState):
    """Whether a phase is part of the step at hand: of every `every`-th, after as many of the others."""
    if update.every == 1:
        return tf.constant(True)
    return tf.equal((tf.convert_to_tensor(state.step) + 1) % update.every, 0)


def _in_place(state: TrainState, update: Update, values):
    """Values of an update's variables among those of all; 0 for the variables of other updates."""
    by_variable = {id(v): value for v, value in zip(update.variables, values, strict=True)}
    return [by_variable.get(id(v), 0.0) for v in state.trainable]


def _strange(watched, state: TrainState, update: Update):
    """Of the variables that the tape watched those that the guard has to judge.

    Not those of the task's models that this phase leaves alone: a teacher, the other player's network.
    """
    _, others = _own_and_other(task_variables(state.task).values(), update)
    known = {handle for v in others for handle in _handles(v.value)}
    return [v for v in watched if known.isdisjoint(_handles(v))]


def _handles(variable) -> set[int]:
    """Of a plain variable one, of a mirrored one a handle for each replica."""
    copies = variable.values if hasattr(variable, "values") else [variable]
    return {id(copy.handle) for copy in copies if hasattr(copy, "handle")}


def _written(state: TrainState, *, floats: bool = False):
    """Variables that a forward pass writes: made as not trainable, which a frozen kernel was not."""
    found = [v for v in task_variables(state.task).values() if not v.value.trainable]
    return [v for v in found if "float" in v.dtype] if floats else found


def _own_and_other(variables, update: Update):
    """Those of what the update trains, and those of the task's other models."""
    mine = {id(v) for part in update.trained for v in getattr(part, "variables", (part,))}
    variables = list(variables)
    return [v for v in variables if id(v) in mine], [v for v in variables if id(v) not in mine]


def _put_back(strategy, variables, values) -> None:
    for variable, value in zip(variables, values, strict=True):
        strategy.extended.update(variable.value, lambda v, old: v.assign(old), args=(value,))


def _average(strategy, state: TrainState, decay: float) -> None:
    for average, variable in zip(state.averages, state.followed, strict=False):
        strategy.extended.update(
            average, lambda a, w: a.assign_sub((a - w) * (1.0 - decay)), args=(variable.value,), group=False
        )


def _count(state: TrainState, finite, squares, took_part, *, stops: bool) -> None:
    """The counters after a step. A stopped step is not counted: it is to be run again and looked at.

    Variables of phases that were no part of the step have no gradient there, which is not one of zero.
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
