"""Trains a run to its end, or until it is stopped, and reports how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import reprlib
import shlex
from collections.abc import Callable, Iterator

import tensorflow as tf

from configs.reading import durations
from configs.reading.line_wrapping import wrapped
from configs.reading.setting_names import by_flags
from trainer import guard, workdir
from trainer.actions.bad_files import BadFiles
from trainer.actions.early_stopping import stop_early
from trainer.actions.evaluate import STOPPED, Evaluate
from trainer.actions.gradients import report_gradients
from trainer.actions.micro_batches import Batches, FittingSteps
from trainer.actions.nonfinite import Nonfinite
from trainer.actions.norm_gap import explain_norm_gap
from trainer.actions.page import Page
from trainer.actions.profile import Profile
from trainer.actions.report import report
from trainer.actions.timing import Timed, timed
from trainer.checkpoints import folder as checkpoints
from trainer.checkpoints.restore import warm_start
from trainer.checkpoints.resume import (
    check_config,
    check_data,
    check_shared_workdir,
    describe_data,
    find_start,
    newest,
    take_up_micro_batches,
    write_config,
)
from trainer.distribution.lost_worker import naming_lost_worker
from trainer.errors import EXIT_FAILED, UserError
from trainer.evaluation.best_score import check_terms
from trainer.evaluation.evaluator import make_evaluator
from trainer.evaluation.own_metrics import MetricError
from trainer.reporting import tags, terminal
from trainer.reporting.clock import Clock
from trainer.reporting.failures import explain_failure, last_line
from trainer.reporting.journal import Journal
from trainer.reporting.memory.out_of_memory import explaining_memory, is_out_of_memory
from trainer.reporting.overview import opening_text
from trainer.reporting.progress import Progress
from trainer.reporting.records import METRICS_FILE, read_metrics, unsaved
from trainer.result import FINISHED, Result
from trainer.stepping.batches import batches_from
from trainer.stepping.batchwise import batchwise_remark
from trainer.stepping.loop import Action, AtSteps, run_loop
from trainer.stepping.segmentation import Segmentation
from trainer.stepping.task import terms_of

# Steps in a call where several workers have to make calls of the same length, each with a clock of its own.
_STEPS_PER_CALL_OF_A_CLUSTER = 10


def train(run, stop: Callable[[], bool] = lambda: False) -> Result:
    """Trains `run` to its end, or until `stop`, which all workers call together, returns true.

    Raises:
      UserError: what ended the run, in words; no checkpoint is made of such a state.
    """
    devices = run.devices
    with workdir.holding(run), _closing_data(run):
        with naming_lost_worker(devices.cluster, run.workdir):
            check_shared_workdir(run.workdir, devices)
            data = run.data
            with explaining_memory(run.named_config, "saving or loading a checkpoint"):
                start = find_start(run.workdir, devices, run.log)
            run.task  # noqa: B018 - a model of one size decides on the crop, which the config says then
            check_config(run, start)
            check_data(describe_data(data), run, start)
            take_up_micro_batches(run)
            source = warm_start_source(run.config) if start is None else None
            run.host.data = describe_data(data)
            actions = timed([*run.config.train.actions, *run.parts.actions], run.intervals)
            run.log(opening_text(run))
            warn_of_parts(run)
            _take_up(run, start, source)
            return _train(run, actions, lambda: devices.any_worker(bool(stop())))


@contextlib.contextmanager
def _closing_data(run) -> Iterator[None]:
    """Ends the processes that read the data."""
    try:
        yield
    finally:
        if "data" in run.__dict__:
            run.data.train.close()


def _take_up(run, start: checkpoints.Saved | None, source: checkpoints.Saved | None) -> None:
    """Restores where the run starts from: a checkpoint of its own, other weights, or nothing."""
    if start is not None:
        run.go_on_from(start)
        run.clock = Clock(run.intervals.batch_size, trained=run.host.trained, parts=run.host.seconds)
        due = run.host.evaluated != start.step and run.data.validation is not None
        run.log(
            f"Resuming at step {start.step} ({start.folder})."
            + (" It begins with what was due there: an evaluation." if due and _evaluates(run, start.step) else "")
        )
    elif source is not None:
        start_from(run, source)


def start_from(run, source: checkpoints.Saved) -> None:
    """Takes the weights of another run, as config.checkpoint.warm_start says."""
    taken = warm_start(run.state, source, run.config.checkpoint.warm_start_pattern)
    run.log(f"Warm start from {source.folder}: {taken}")


def warn_of_parts(run) -> None:
    """Warns of a loss that means something else on the parts into which replicas and micro-batches split a batch."""
    in_parts = run.config.train.accumulate != 1 or run.devices.replicas > 1
    if in_parts and (remark := batchwise_remark(run)):
        run.log(wrapped(f"warning: {remark}."))


def _evaluates(run, step: int) -> bool:
    every = run.intervals.evaluate_every
    return Action(every, lambda step: None, run.intervals.margin(every)).due(step, run.intervals.total)


def warm_start_source(config) -> checkpoints.Saved | None:
    """The checkpoint for a warm start: the best of another run's workdir, or a checkpoint's folder."""
    source = config.checkpoint.warm_start
    if not source:
        return None
    if checkpoints.list_steps(source):
        return checkpoints.find(source, "best")
    if not os.path.exists(os.path.join(source, "manifest.json")):
        raise UserError(
            f"config.checkpoint.warm_start={source!r}: there is no checkpoint in this folder.\n  Name another run's "
            "workdir, or a checkpoint's folder: WORKDIR/checkpoints/step_…"
        )
    return checkpoints.read(source)


def why_finished(run) -> str | None:
    """Why nothing is left to do at this step, or None; with `force` an earlier end does not count."""
    step, total, ended = run.current_step, run.intervals.total, run.host.ended
    evaluated = run.data.validation is None or run.host.evaluated == step
    if step > total or (step == total and evaluated):
        return FINISHED
    if ended.get("step") == step and not run.force:
        return ended["reason"]
    return stop_early(run, step)


def _train(run, actions: list[Timed], stop: Callable[[], bool]) -> Result:
    total = run.intervals.total
    why = why_finished(run)
    if why is not None:
        reason = f": {why}" if why != FINISHED else ""
        run.log(
            wrapped(
                f"This run has ended already, at step {run.current_step} of {total}{reason}; nothing was done or "
                "changed.\n  A longer one from these weights: another --workdir=…, with "
                f"--config.checkpoint.warm_start={shlex.quote(run.workdir)}"
            )
        )
        run.log(terminal.closing(run.workdir, flags=by_flags()))
        return _result(run, run.current_step, why, saved=True)
    if run.devices.chief:
        write_config(run)
    bad_files, page = BadFiles(run), Page(run)
    try:
        step, reason = _train_to(total, run, actions, stop, bad_files, page)
    except UserError:
        page.write("ended by an error")
        raise
    finally:
        run.saver.wait()
    ended = reason is not None and reason != STOPPED
    if ended:
        run.host.ended = {"step": step, "reason": reason}
    run.save(again=ended or any(action.at_end for action in actions))
    saved = run.saver.wait()
    if not saved:
        last = newest(run.workdir)
        run.log(f"Step {step} is not saved. Once the workdir can be written the same command goes on from {last}.")
    bad_files.report_all()
    page.write("stopped" if reason == STOPPED else reason or FINISHED)
    if reason == STOPPED:
        run.log(f"Stopped at step {step} of {total}." + (" The same command goes on from here." if saved else ""))
        return _result(run, step, reason, saved=saved, stopped=True)
    if reason is not None:
        run.log(f"Ended at step {step} of {total}: {reason}.")
    if run.scores is not None:
        run.log("\n" + run.scores.table())
    if run.host.best_step is not None and run.host.best_step != step:
        run.log(f"  best {run.metric}: {run.host.best_score:.4f}, at step {run.host.best_step}")
    run.log(f"  trained for {terminal.duration(run.clock.trained)}\n")
    run.log(terminal.closing(run.workdir, flags=by_flags()))
    return _result(run, step, reason or FINISHED, saved=saved)


def _result(run, step: int, reason: str, *, saved: bool, stopped: bool = False) -> Result:
    scores = run.scores.scalars("") if run.scores is not None else _recorded_scores(run)
    return Result(step, reason, scores, run.host.best_score, run.host.best_step, saved, stopped)


def _recorded_scores(run) -> dict[str, float]:
    """The scores of the last evaluation, where it was made in an earlier session."""
    rows = read_metrics(os.path.join(run.workdir, METRICS_FILE))
    found = [row for row in rows if (row.get("kind"), row.get("step")) == (tags.EVALUATION, run.host.evaluated)]
    return {name: value for name, value in (found[-1] if found else {}).items() if name not in ("step", "kind")}


def _train_to(
    total: int, run, actions: list[Timed], stop: Callable[[], bool], bad_files: BadFiles, page: Page
) -> tuple[int, str | None]:
    """The step reached, and the reason for ending there or None."""
    config = run.config
    steps = FittingSteps(run, _Warnings(run))
    per_call = config.train.steps_per_call or (_STEPS_PER_CALL_OF_A_CLUSTER if run.devices.workers > 1 else 0)
    nonfinite, profile = Nonfinite(run), Profile(run)
    if config.guard.nonfinite == "back" and run.saver.last_step is None:
        run.save()  # the start, so that there is a checkpoint to go back to

    def after_call(step: int) -> str | None:
        if run.clock.start_once(step):
            run.waiting.since_last()  # every pipeline has to make its first batch
        return nonfinite.after_call(step) or (STOPPED if stop() else None)

    while True:
        run.journal = None
        try:
            run.journal = Journal(run)
            run.journal.opening(run)
            due = _due(run, actions, stop, bad_files, page, profile)
            if stop():
                return run.current_step, STOPPED

            def batches(step: int):
                skipped = run.host.skipped_data
                return batches_from(run.data.train, config, run.strategy, step=step, total=total, skipped=skipped)

            run.clock  # noqa: B018 - made now: it counts from here
            profile.act(run.current_step)
            step, reason = run_loop(
                steps.many,
                Batches(batches, run.current_step),
                read_step=lambda: run.current_step,
                total=total,
                actions=due,
                after_call=after_call,
                steps_per_call=per_call,
            )
            if reason not in (STOPPED, Nonfinite.WENT_BACK):
                for number, action in enumerate(actions):
                    if action.at_end:
                        _once(number, action, run)(step)
                run.journal.writer.ended(True)
        except Exception as error:
            if run.journal is not None:
                run.journal.writer.ended(False)
            explained = explain_failure(error, run)
            if explained is None:
                raise
            if explained.markdown and run.journal is not None:
                run.journal.note(explained.markdown, run.current_step)
            raise explained from error
        finally:
            profile.close()
            if run.journal is not None:
                run.journal.close()
        if reason != Nonfinite.WENT_BACK:
            return step, reason


def _due(
    run, actions: list[Timed], stop: Callable[[], bool], bad_files: BadFiles, page: Page, profile: Profile
) -> list[Action | AtSteps]:
    """What is done between steps, in this order where several are due."""
    intervals, config = run.intervals, run.config
    own = [Action(action.every, _once(number, action, run)) for number, action in enumerate(actions) if action.every]
    found = [
        # Stopped around what is done between steps, which the profile leaves out.
        AtSteps(profile.steps[1:], profile.act),
        Action(intervals.log_every, lambda step: report(run, step)),
        Action(intervals.log_every, lambda step: bad_files.report_new()),
        Action(intervals.of(durations.parse(config.train.histograms)), lambda step: report_gradients(run, step)),
        *own,
    ]
    if run.data.validation is not None:
        score = make_evaluator(
            run.task,
            run.data,
            run.config,
            run.strategy,
            metrics=run.metrics,
            progress=Progress("evaluated", run.log),
            remark=lambda text: run.log(wrapped(text)),
        )
        if intervals.evaluate_every and not isinstance(run.task, Segmentation):
            _try_evaluation(run, score)
        then = [
            dataclasses.replace(action, function=lambda run, step, action=action: _acted(action, run, step))
            for action in actions
            if action.after_evaluation
        ]
        then.append(Timed(explain_norm_gap, "batch normalisation", after_evaluation=True))
        then.append(Timed(page.refresh, "report.html", after_evaluation=True))
        then.append(Timed(stop_early, "early stopping", after_evaluation=True))
        evaluate, every = Evaluate(score, stop, then), intervals.evaluate_every
        found.append(Action(every, lambda step: evaluate(run, step), intervals.margin(every)))
    every = intervals.checkpoint_every
    found.append(Action(every, lambda step: run.save(), intervals.margin(every)))
    found.append(AtSteps(profile.steps[:1], profile.act))
    return found


def _try_evaluation(run, score) -> None:
    """Evaluates a few images, so that a task that cannot be evaluated fails before the first step, not hours later.

    It stops at the first image of another size, and after eight at the latest.

    Raises:
      UserError: it cannot.
    """
    tried = itertools.count()
    try:
        score(lambda: run.devices.any_worker(next(tried) >= 8 or score.trace_count() > 1))
    except Exception as error:
        explained = explain_failure(error, run)
        if is_out_of_memory(error) or explained is None and not isinstance(error, tf.errors.OpError):
            raise
        if isinstance(explained, MetricError):
            raise explained from error
        if _fails_in_training(run):
            raise (explained or error) from error
        size, names = run.config.augment.crop, run.data.validation.names
        which = f"This was the first validation image, {names[0]}"
        if score.trace_count() > 1:
            which = "This was the first validation image of another size than those before it"
        raise UserError(
            f"{explained or last_line(error)}\n"
            f"  {which}, which was to be evaluated before the first step. A "
            "task of your own is evaluated on whole images, of whatever size they have, where training sees "
            f"crops of {size[0]} x {size[1]}. Make `losses` work on such sizes, give it validation images of sizes "
            'that it takes, or evaluate nothing: --config.evaluate.every="0 steps"',
            exit_code=EXIT_FAILED,
        ) from error
    if score.terms:  # a worker may have no image
        found = [name.partition("/") for name in score.terms]
        terms, watched = ([name for of, _, name in found if of == kind] for kind in ("term", "watched"))
        check_terms(run.metric, terms, watched, run.metrics)


def _fails_in_training(run) -> bool:
    """Whether the task cannot be traced on a training batch either: then images' sizes are not to blame."""
    specs = {
        key: tf.TensorSpec((1, *feature.batch_shape(*run.config.augment.crop)), tf.as_dtype(feature.dtype))
        for key, feature in run.data.train.features.items()
    }
    try:
        tf.function(lambda batch: terms_of(run.task.evaluated(batch), None, run.task)).get_concrete_function(
            {**specs, "index": tf.TensorSpec([1], tf.int64)}
        )
    except Exception:
        return True
    return False


def _once(number: int, action: Timed, run) -> Callable[[int], str | None]:
    """Calls an action of the user's; at the step where a run continues only if it was not called there before."""
    key = f"{number}: {action.name}"

    def call(step: int) -> str | None:
        if run.host.acted.get(key) == step:
            return None
        reason = _acted(action, run, step)
        run.host.acted[key] = step
        return reason

    return call


def _acted(action: Timed, run, step: int) -> str | None:
    """What an action of the user's returns, which is nothing or a text, as what it keeps can be saved.

    Raises:
      UserError: it is not so.
    """
    reason = action.function(run, step)
    if reason is not None and not isinstance(reason, str):
        raise UserError(
            f"The action {action.name} returned {reprlib.repr(reason)}, of type {type(reason).__name__}, at step "
            f"{step}. Return nothing to go on, or a text, the reason for which the run ends."
        )
    if problem := unsaved(run.memory):
        raise UserError(
            f"The action {action.name} left {problem} at step {step}, which no checkpoint holds. Keep numbers, texts, "
            "lists and mappings by texts: float(value), value.tolist(), run.memory[str(key)]; None where there is none."
        )
    return reason


class _Warnings:
    """Logs the guard's reports where they do not end the run, each once."""

    def __init__(self, run):
        self._run, self._seen = run, set()

    def __call__(self, report: guard.Report) -> None:
        if str(report) not in self._seen and self._run.devices.chief:  # each replica and micro-batch finds the same
            self._seen.add(str(report))
            report.print()
            if self._run.journal is not None:
                self._run.journal.note(report.to_markdown())
