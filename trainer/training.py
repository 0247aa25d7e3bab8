"""From a run that is wired together to its end, or to where it was asked to stop; and what is said then."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from trainer import guard
from trainer.actions.bad_files import BadFiles
from trainer.actions.nonfinite import Divergence
from trainer.actions.report import Evaluator, Reporter, Telling
from trainer.checkpoints.resume import newest, write_config
from trainer.errors import EXIT_FAILED, EXIT_OK, EXIT_RESUMABLE
from trainer.evaluation.evaluator import make_evaluator
from trainer.evaluation.metrics import Evaluation
from trainer.options import Options
from trainer.reporting import terminal
from trainer.reporting.failures import explain_failure
from trainer.run import Run
from trainer.stepping.intervals import batches_from
from trainer.stepping.loop import Action, run_loop
from trainer.stepping.retracing import warn_of_retracing
from trainer.stepping.step import make_train_steps

# Steps in a call where several workers have to make calls of the same length, each with a clock of its own.
_STEPS_PER_CALL_OF_A_CLUSTER = 10


def train_run(run: Run, options: Options, stop: Callable[[], bool]) -> int:
    """Trains to the end, or until `stop`, which all workers ask together, says yes; returns the exit code.

    Raises:
      UserError: what ended the run, in words; no checkpoint is made of such a state.
    """
    plan = run.plan
    if run.is_finished():
        why = f": {run.patience_over()}" if run.patience_over() else ""
        run.tell(
            f"This run has ended already, at step {run.step()} of {plan.total}{why}; nothing was done or changed.\n"
            "  A longer one from these weights: another --workdir=…, with "
            f"--config.checkpoint.warm_start={shlex.quote(options.workdir)}"
        )
        run.tell(terminal.closing(options.workdir))
        return EXIT_OK
    if run.devices.chief:
        write_config(run.config, options.workdir)
    bad_files = BadFiles(run)
    try:
        step, reason, evaluation = _train_to(plan.total, run, stop, bad_files)
    finally:
        run.saver.wait()
    run.save()
    saved = run.saver.wait()
    if not saved:
        last = newest(options.workdir)
        run.tell(f"Step {step} is not saved. Once the workdir can be written the same command goes on from {last}.")
    bad_files.tell_all()
    if reason == Evaluator.STOPPED:
        run.tell(f"Stopped at step {step} of {plan.total}." + (" The same command goes on from here." if saved else ""))
        return EXIT_RESUMABLE
    if reason is not None:
        run.tell(f"Ended at step {step} of {plan.total}: {reason}.")
    run.tell("\n" + evaluation.table())
    if run.host.best_step is not None and run.host.best_step != step:
        run.tell(f"  best {run.config.evaluate.metric}: {run.host.best_score:.4f}, at step {run.host.best_step}")
    run.tell(f"  trained for {terminal.duration(run.clock.trained)}\n")
    run.tell(terminal.closing(options.workdir))
    return EXIT_OK if saved else EXIT_FAILED


def _train_to(
    total: int, run: Run, stop: Callable[[], bool], bad_files: BadFiles
) -> tuple[int, str | None, Evaluation | None]:
    """The step reached, the reason for ending there or None, and the last evaluation."""
    config, plan = run.config, run.plan
    warned: set[str] = set()

    def warn(report: guard.Report) -> None:
        if str(report) not in warned and run.devices.chief:  # each replica and micro-batch finds the same
            warned.add(str(report))
            report.print()
            telling.note(report.to_markdown())

    train_steps = warn_of_retracing(
        make_train_steps(run.state, run.objective, run.totals, run.strategy, config, warn), run.tell
    )
    score = make_evaluator(run.state.model, run.data, config, run.strategy, objective=run.objective)
    per_call = config.train.steps_per_call or (_STEPS_PER_CALL_OF_A_CLUSTER if run.devices.workers > 1 else 0)
    divergence = Divergence(run, lambda step, markdown: telling.note(markdown, step))
    if config.guard.nonfinite == "back" and run.saver.last_step is None:
        run.save()  # the start, so that there is a checkpoint to go back to

    def after_call(step: int) -> str | None:
        run.clock.start_once(step)
        return divergence.after_call(step) or (Evaluator.STOPPED if stop() else None)

    while True:
        telling = Telling(run, run.workdir)
        evaluate_run = Evaluator(run, score, telling, stop)
        actions = [
            Action(plan.log_every, Reporter(run, telling)),
            Action(plan.log_every, lambda step: bad_files.tell_new()),
            Action(plan.evaluate_every, evaluate_run, plan.margin(plan.evaluate_every)),
            Action(plan.checkpoint_every, lambda step: run.save(), plan.margin(plan.checkpoint_every)),
        ]
        try:
            if stop():
                return run.step(), Evaluator.STOPPED, None
            iterator = batches_from(
                run.data.train, config, run.strategy, step=run.step(), total=total, skipped=run.host.skipped_data
            )
            step, reason = run_loop(
                train_steps, iterator, read_step=run.step, total=total, actions=actions,
                after_call=after_call, steps_per_call=per_call,
            )  # fmt: skip
        except Exception as error:
            explained = explain_failure(error, run)
            if explained is None:
                raise
            if explained.markdown:
                telling.note(explained.markdown, run.step())
            raise explained from error
        finally:
            telling.writer.close()
        if reason != Divergence.WENT_BACK:
            return step, reason, evaluate_run.last
