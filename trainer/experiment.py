"""The composition root: a config becomes the objects of a run, and a verb does something with them.

This is the program's table of contents. Every function takes a valid config and returns an exit code.
"""

from __future__ import annotations

import os

import keras
import tensorflow as tf

from configs.schema import Config
from trainer.checkpoints import folder as checkpoint
from trainer.checkpoints.lock import WorkdirLock
from trainer.checkpoints.restore import load_weights, warm_start
from trainer.checkpoints.resume import check_config, check_data, check_shared_workdir, describe_data, find_start
from trainer.checkpoints.saver import Saver
from trainer.data import open_data
from trainer.distribution import strategy
from trainer.distribution.lost_worker import naming_lost_worker
from trainer.errors import EXIT_FAILED, EXIT_OK, UserError
from trainer.evaluation.evaluator import make_evaluator
from trainer.evaluation.metrics import scored_classes
from trainer.models import build_model
from trainer.models.build import logits_per_pixel
from trainer.options import Options
from trainer.reporting import console, records, terminal
from trainer.reporting.clock import Clock
from trainer.reporting.opening import opening_text
from trainer.run import HostState, Run
from trainer.signals import Interruption
from trainer.stepping import precision
from trainer.stepping.intervals import make_plan
from trainer.stepping.objective import build_objective
from trainer.stepping.optimizer import build_optimizer
from trainer.stepping.state import TrainState
from trainer.stepping.totals import Totals
from trainer.training import train_run


def train(config: Config, options: Options) -> int:
    """Trains from the start, or from where the workdir's run stopped; returns 75 when it was asked to stop."""
    devices = _start(config)
    tell = console.tell if devices.chief else console.silent
    lock = WorkdirLock(options.workdir) if devices.chief else None
    try:
        with Interruption() as interrupted, naming_lost_worker(devices.cluster, options.workdir):
            check_shared_workdir(options.workdir, devices)
            data = open_data(config)
            strategy.check_batch(config, devices.replicas)
            start = find_start(options.workdir, devices, tell)
            check_config(config, options, start, tell)
            check_data(describe_data(data), options, start, tell)
            source = _warm_start_from(config, start)
            run = _build(config, options, devices, data, tell)
            arithmetic = precision.choose(config.precision)
            tell(opening_text(config, data, run.plan, run.state.model, devices, arithmetic, options.workdir))
            _take_up(run, start, source)
            return train_run(run, options, lambda: devices.any_worker(bool(interrupted)))
    finally:
        if lock is not None:
            lock.release()


def _take_up(run: Run, start: checkpoint.Saved | None, source: checkpoint.Saved | None) -> None:
    """Puts the run to where it starts: a checkpoint of its own, other weights, or nothing."""
    if start is not None:
        run.go_on_from(start)
        run.clock = Clock(run.plan.batch_size, trained=run.host.trained)
        run.tell(f"Going on from step {start.step} ({start.folder}).")
    elif source is not None:
        taken = warm_start(run.state, source, run.config.checkpoint.warm_start_pattern)
        run.tell(f"Warm start from {source.folder}: {taken}")


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
        metric=config.evaluate.metric,
        writes=devices.chief,
        tell=tell,
    )
    return Run(config, options.workdir, devices, data, plan, state, objective, totals,
               HostState(data=describe_data(data)), Clock(plan.batch_size), saver, tell)  # fmt: skip


def evaluate(config: Config, options: Options) -> int:
    """Scores a checkpoint on the validation images, prints the table and writes evaluation.json."""
    devices = _start(config)
    data = open_data(config)
    with naming_lost_worker(devices.cluster, options.workdir):
        model, saved = _trained_model(config, options, devices)
        result, _ = make_evaluator(model, data, config, devices.strategy)()
    if devices.chief:
        path = os.path.join(options.workdir, records.EVALUATION_FILE)
        left_out = len(data.validation) - result.images
        without = f", without {left_out} that cannot be used" if left_out else ""
        console.tell(f"{saved.folder} on {result.images} validation images{without}:\n{result.table()}")
        for reason in data.validation.skipped.values():
            console.tell(f"  skipped: {reason}")
        try:
            records.write_json(path, {"step": saved.step, **result.to_dict()})
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.", exit_code=EXIT_FAILED) from error
    return EXIT_OK


def predict(config: Config, options: Options) -> int:
    """Writes masks and overlays of the given images; returns 1 when some could not be read."""
    from trainer.evaluation.predict import predict as predict_files

    model, saved = _trained_model(config, options, _start(config))
    output = options.output or os.path.join(options.workdir, "predictions")
    console.tell(f"Predicting with {saved.folder} into {output}")
    failures = predict_files(model, list(options.inputs), output, config, report=console.tell)
    return EXIT_FAILED if failures else EXIT_OK


def export(config: Config, options: Options) -> int:
    """Exports a checkpoint and compares each format with the model before it is kept."""
    from trainer.export.export import export as export_model

    model, saved = _trained_model(config, options, _start(config))
    output = options.output or os.path.join(options.workdir, "export")
    console.tell(f"Exporting {saved.folder} to {output}")
    for line in export_model(model, config, output, options.formats):
        console.tell(f"  {line}")
    return EXIT_OK


def describe(config: Config, options: Options) -> int:
    """Says what `--mode=train` would do, layer by layer, without doing it."""
    devices = _start(config)
    data = open_data(config)
    strategy.check_batch(config, devices.replicas)
    run = _build(config, options, devices, data, console.tell)
    run.state.model.summary(print_fn=console.tell, line_length=terminal.WIDTH)
    console.tell(
        opening_text(
            config, data, run.plan, run.state.model, devices, precision.choose(config.precision), options.workdir
        )
    )
    return EXIT_OK


def check(config: Config, options: Options) -> int:
    """Looks at the data, the loss, the gradients and thirty steps on one batch; returns 1 when something is wrong."""
    from trainer import check as checkup
    from trainer.data.audit import audit

    devices = _start(config)
    data_audit = audit(config)
    console.tell(f"Data\n{data_audit.text()}\n")
    if not data_audit.ok:
        console.tell("The data have to be put right first; loss and gradients were not looked at.")
        return EXIT_FAILED
    strategy.check_batch(config, devices.replicas)
    run = _build(config, options, devices, open_data(config), console.tell)
    wrong = 0
    for section in checkup.sections(run):
        console.tell(f"{section}\n")
        wrong += len(section.problems)
    console.tell(f"{wrong} problem(s) found." if wrong else "Nothing wrong was found.")
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


def _warm_start_from(config: Config, start: checkpoint.Saved | None) -> checkpoint.Saved | None:
    """What a new run takes its weights from: the best of another run's workdir, or one checkpoint's folder."""
    source = config.checkpoint.warm_start
    if not source or start is not None:
        return None
    if checkpoint.list_steps(source):
        return checkpoint.find(source, "best")
    if not os.path.exists(os.path.join(source, "manifest.json")):
        raise UserError(
            f"config.checkpoint.warm_start={source!r}: there is no checkpoint in this folder.\n  Name another run's "
            "workdir, or a checkpoint's folder: WORKDIR/checkpoints/step_…"
        )
    return checkpoint.read(source)
