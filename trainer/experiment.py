"""The composition root: a config becomes the objects of a run, and a verb does something with them.

This is the program's table of contents. Every function takes a valid config and returns an exit code.
"""

from __future__ import annotations

import os

import keras
import tensorflow as tf

from configs.schema import Config
from configs.text import to_json
from trainer import checkpoint, precision, records, strategy, terminal
from trainer.actions import Evaluator, Reporter, Telling
from trainer.clock import Clock
from trainer.data import open_data
from trainer.describe import opening_text
from trainer.divergence import Divergence
from trainer.errors import EXIT_FAILED, EXIT_OK, EXIT_RESUMABLE
from trainer.evaluate import make_evaluator
from trainer.failures import explain_failure
from trainer.lock import WorkdirLock
from trainer.loop import Action, run_loop
from trainer.metrics import scored_classes
from trainer.models import build_model
from trainer.models.build import logits_per_pixel
from trainer.objective import build_objective
from trainer.optimizer import build_optimizer
from trainer.options import Options
from trainer.plan import batches_from, make_plan
from trainer.reports import Totals
from trainer.restore import load_weights, restore, warm_start
from trainer.resume import check_config, check_shared_workdir, find_start
from trainer.run import HostState, Run
from trainer.saver import Saver
from trainer.signals import Interruption
from trainer.state import TrainState
from trainer.step import make_train_steps

# Steps in a call where several workers have to make calls of the same length, each with a clock of its own.
_STEPS_PER_CALL_OF_A_CLUSTER = 10
_INTERRUPTED = "interrupted"


def train(config: Config, options: Options) -> int:
    """Trains from the start, or from where the workdir's run stopped; returns 75 when it was asked to stop."""
    devices = _start(config)
    tell = _tell if devices.chief else _silent
    lock = WorkdirLock(options.workdir) if devices.chief else None
    check_shared_workdir(options.workdir, devices)
    data = open_data(config)
    strategy.check_batch(config, devices.replicas)
    start = find_start(options.workdir, tell)
    check_config(config, options, start, tell)

    run = _build(config, options, devices, data, tell)
    tell(
        opening_text(
            config, data, run.plan, run.state.model, devices, precision.choose(config.precision), options.workdir
        )
    )
    if start is not None:
        restore(run.state, start)
        run.host = HostState.from_saved(start.host)
        run.clock = Clock(run.plan.batch_size, trained=run.host.trained)
        run.saver.last_step = start.step
        tell(f"Going on from step {start.step} ({start.folder}).")
    elif config.checkpoint.warm_start:
        saved = checkpoint.find(*_warm_start_source(config))
        tell(f"Warm start from {saved.folder}: {warm_start(run.state, saved, config.checkpoint.warm_start_pattern)}")
    try:
        return _train(run, options)
    except Exception as error:
        explained = explain_failure(error, run)
        if explained is None:
            raise
        raise explained from error
    finally:
        run.saver.wait()
        if lock is not None:
            lock.release()


def _train(run: Run, options: Options) -> int:
    config, plan = run.config, run.plan
    if run.devices.chief:
        with open(os.path.join(options.workdir, records.CONFIG_FILE), "w", encoding="utf-8") as file:
            file.write(to_json(config))
    train_steps = make_train_steps(run.state, run.objective, run.totals, run.strategy, config)
    score = make_evaluator(run.state.model, run.data, config, run.strategy, objective=run.objective)
    divergence = Divergence(run)
    with Interruption(_tell) as interrupted:

        def after_call(step: int) -> str | None:
            run.clock.start_once(step)
            reason = divergence.after_call(step)
            return reason or (_INTERRUPTED if run.devices.any_worker(bool(interrupted)) else None)

        reason = Divergence.WENT_BACK
        while reason == Divergence.WENT_BACK:
            telling = Telling(run, options.workdir)
            evaluate_run = Evaluator(run, score, telling)
            actions = [
                Action(plan.log_every, Reporter(run, telling)),
                Action(plan.evaluate_every, evaluate_run, plan.margin(plan.evaluate_every)),
                Action(plan.checkpoint_every, lambda step: run.save(), plan.margin(plan.checkpoint_every)),
            ]
            iterator = batches_from(
                run.data.train, config, run.strategy, step=run.step(), total=plan.total, skipped=run.host.skipped_data
            )
            per_call = config.train.steps_per_call or (_STEPS_PER_CALL_OF_A_CLUSTER if run.devices.workers > 1 else 0)
            step, reason = run_loop(
                train_steps, iterator, read_step=run.step, total=plan.total, actions=actions,
                after_call=after_call, steps_per_call=per_call,
            )  # fmt: skip
            telling.writer.flush()
    run.save()
    saved = run.saver.wait()
    if reason == _INTERRUPTED:
        run.tell(
            f"Stopped at step {step} of {plan.total}{', saved' if saved else ''}. The same command goes on from here."
        )
        return EXIT_RESUMABLE
    if reason is not None:
        run.tell(f"Ended at step {step} of {plan.total}: {reason}.")
    if evaluate_run.last is None or evaluate_run.last_step != step:
        evaluate_run(step)
    telling.writer.close()
    run.tell("\n" + evaluate_run.last.table())
    if run.host.best_step is not None and run.host.best_step != step:
        run.tell(f"  best {config.evaluate.metric}: {run.host.best_score:.4f}, at step {run.host.best_step}")
    run.tell(f"  trained for {terminal.duration(run.clock.trained)}\n")
    run.tell(terminal.closing(options.workdir, config=options.recipe))
    return EXIT_OK if saved else EXIT_FAILED


def _build(config: Config, options: Options, devices: strategy.Devices, data, tell) -> Run:
    """Everything that holds variables is made inside the strategy's scope."""
    plan = make_plan(config, len(data.train))
    arithmetic = precision.choose(config.precision)
    keras.utils.set_random_seed(config.seed)
    with devices.strategy.scope():
        model = build_model(config, policy=arithmetic.policy, replicas=devices.replicas)
        optimizer = build_optimizer(config.optimizer, total_steps=plan.total, warmup_steps=plan.warmup)
        state = TrainState(model, optimizer, config, scales_loss=arithmetic.scales_loss)
        objective = build_objective(config, logits_per_pixel(config))
        scored = scored_classes(data.classes, config.evaluate.classes)
        totals = Totals(objective.parts, tuple(data.classes.index(name) for name in scored), config)
    saver = Saver(
        options.workdir,
        keep=config.checkpoint.keep,
        keep_best=config.checkpoint.keep_best,
        writes=devices.chief,
        tell=tell,
    )
    return Run(config, options.workdir, devices, data, plan, state, objective, totals, HostState(),
               Clock(plan.batch_size), saver, tell)  # fmt: skip


def evaluate(config: Config, options: Options) -> int:
    """Scores a checkpoint on the validation images, prints the table and writes evaluation.json."""
    devices = _start(config)
    data = open_data(config)
    model, saved = _trained_model(config, options, devices)
    result, _ = make_evaluator(model, data, config, devices.strategy)()
    if devices.chief:
        path = os.path.join(options.workdir, records.EVALUATION_FILE)
        records.write_json(path, {"step": saved.step, **result.to_dict()})
        _tell(f"{saved.folder} on {result.images} validation images:\n{result.table()}")
    return EXIT_OK


def predict(config: Config, options: Options) -> int:
    """Writes masks and overlays of the given images; returns 1 when some could not be read."""
    from trainer.predict import predict as predict_files

    model, saved = _trained_model(config, options, _start(config))
    output = options.output or os.path.join(options.workdir, "predictions")
    _tell(f"Predicting with {saved.folder} into {output}")
    failures = predict_files(model, list(options.inputs), output, config, report=_tell)
    return EXIT_FAILED if failures else EXIT_OK


def export(config: Config, options: Options) -> int:
    """Exports a checkpoint and compares each format with the model before it is kept."""
    from trainer.export import export as export_model

    model, saved = _trained_model(config, options, _start(config))
    output = options.output or os.path.join(options.workdir, "export")
    _tell(f"Exporting {saved.folder} to {output}")
    for line in export_model(model, config, output, options.formats):
        _tell(f"  {line}")
    return EXIT_OK


def describe(config: Config, options: Options) -> int:
    """Says what `--mode=train` would do, layer by layer, without doing it."""
    devices = _start(config)
    data = open_data(config)
    strategy.check_batch(config, devices.replicas)
    run = _build(config, options, devices, data, _tell)
    run.state.model.summary(print_fn=_tell, line_length=terminal.WIDTH)
    _tell(
        opening_text(
            config, data, run.plan, run.state.model, devices, precision.choose(config.precision), options.workdir
        )
    )
    return EXIT_OK


def check(config: Config, options: Options) -> int:
    """Looks at the data, the loss, the gradients and thirty steps on one batch; returns 1 when something is wrong."""
    from trainer import checkup
    from trainer.data.audit import audit

    devices = _start(config)
    data_audit = audit(config)
    _tell(f"Data\n{data_audit.text()}\n")
    if not data_audit.ok:
        _tell("The data have to be put right first; loss and gradients were not looked at.")
        return EXIT_FAILED
    strategy.check_batch(config, devices.replicas)
    run = _build(config, options, devices, open_data(config), _tell)
    sections = []
    for look in (lambda: checkup.check_loss(run.objective, config), lambda: checkup.check_gradients(run),
                 lambda: checkup.check_learning(run)):  # fmt: skip
        sections.append(look())
        _tell(f"{sections[-1]}\n")
        if sections[-1].title == "Gradients" and sections[-1].problems:
            break
    wrong = sum(len(section.problems) for section in sections)
    _tell(f"{wrong} problem(s) found." if wrong else "Nothing wrong was found.")
    return EXIT_FAILED if wrong else EXIT_OK


def _trained_model(config: Config, options: Options, devices: strategy.Devices):
    saved = checkpoint.find(options.workdir, options.checkpoint)
    with devices.strategy.scope():
        model = build_model(config, policy=precision.choose(config.precision).policy, replicas=devices.replicas)
        load_weights(model, saved)
    return model, saved


def _start(config: Config) -> strategy.Devices:
    """What has to be said to TensorFlow before anything else."""
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    # Before anything that makes a tensor: a cluster can be joined only then.
    devices = strategy.choose(config)
    keras.backend.clear_session()
    return devices


def _warm_start_source(config: Config) -> tuple[str, str]:
    """(workdir, which) of a warm start: another run's workdir, or one checkpoint's folder."""
    source = config.checkpoint.warm_start
    if os.path.isdir(os.path.join(source, "checkpoints")):
        return source, "best"
    return os.path.dirname(os.path.dirname(os.path.abspath(source))), source


def _tell(text: str) -> None:
    print(text, flush=True)


def _silent(text: str) -> None:
    """Workers that are not the chief say nothing twice."""
