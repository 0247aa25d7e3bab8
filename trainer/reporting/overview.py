"""The opening summary of a run, in rows for the terminal."""

from __future__ import annotations

import math
from typing import Any

from configs.reading import validation
from configs.reading.line_wrapping import columns
from configs.schema import Config
from trainer import process
from trainer.distribution.strategy import Devices
from trainer.reporting import terminal
from trainer.stepping.optimizer import keep_their_rates
from trainer.stepping.segmentation import Segmentation


def opening_text(run) -> str:
    """The opening summary: data, classes, models, loss, devices and precision with the reasons, steps."""
    return terminal.opening(name=run.config.name, **_about(run))


def opening_rows(run) -> list[tuple[str, str]]:
    """The same as (label, text) rows."""
    return [(label, text) for label, text in terminal.opening_rows(**_about(run)) if text]


def _about(run) -> dict[str, Any]:
    data = run.data
    models = list(run.task.models().values())
    return dict(
        data=_data_text(run),
        classes=data.classes,
        model=_model_text(run),
        parameters=sum(_size(v) for model in models for v in model.weights),
        trainable_parameters=sum(_size(v) for v in run.state.trainable),
        loss=_loss_text(run),
        devices=run.devices.reason,
        precision=run.precision.reason,
        steps=_steps_text(run),
        workdir=run.workdir,
        more=[
            *_parts(run),
            *_notes(run.named_config, run.devices),
            *remarks(run),
            ("process", process.described()),
        ],
    )


def layer_tables(run) -> list[str]:
    """Keras's table of each model: layers, shapes, parameters."""
    tables = []
    for model in run.task.models().values():
        lines: list[str] = []
        model.summary(line_length=columns(), print_fn=lambda line, *_, lines=lines: lines.append(line))
        tables.append("\n".join(lines))
    return tables


def _data_text(run) -> str:
    data = run.data
    title = data.title if run.parts.data is None else run.parts.names()["data"]
    train = "" if data.train.length is None else f"{data.train.length} "
    validation = len(data.validation) if data.validation is not None else "no"
    return f"{title}: {train}training and {validation} validation images"


def _parts(run) -> list[tuple[str, str]]:
    """Parts passed as objects, besides data, model and loss."""
    names = run.parts.names()
    shown = {name: names[name] for name in ("optimizer", "schedule", "metrics", "augment", "actions") if name in names}
    return [(name, ", ".join(value) if isinstance(value, (list, dict)) else value) for name, value in shown.items()]


def remarks(run) -> list[tuple[str, str]]:
    """What was recognised of data and model, and which fields nothing reads, as (label, text) rows."""
    given = set(run.parts.names())
    own_rate = keep_their_rates(run.task.phases, run.parts.optimizer)
    problems = validation.unread(run.config, given=given, own_rate=own_rate)
    return [
        *(("note", note) for note in (*run.data.notes, *run.notes)),
        *(("not read", f"config.{problem.text}") for problem in problems),
    ]


def _size(variable) -> int:
    return math.prod(variable.shape)


def _model_text(run) -> str:
    model, task = run.config.model, run.task
    if not isinstance(task, Segmentation):
        return f"{type(task).__name__} with {', '.join(task.models())}"
    if run.parts.model is not None:
        return f"{task.model.name} ({run.parts.names()['model']})"
    if model.name == "unet":
        return f"unet, width {model.width}, depth {model.depth}"
    if model.name == "encoder_unet":
        return f"encoder_unet on {model.encoder} ({model.encoder_weights or 'random weights'}), width {model.width}"
    return model.name


def _loss_text(run) -> str:
    config = run.config
    if not isinstance(run.task, Segmentation):
        return "as the task says"
    if run.parts.loss is not None:
        return run.parts.names()["loss"]
    # For classes that overlap, a loss for a softmax has been replaced.
    names = run.task.objective.name.split("+")
    weights = config.loss.weights or (1.0,) * len(names)
    return " + ".join(
        name if weight == 1.0 else f"{weight:g} {name}" for name, weight in zip(names, weights, strict=False)
    )


def _steps_text(run) -> str:
    config, intervals, devices = run.config, run.intervals, run.devices
    found = f" ({max(run.found_micro_batches.values())} so far)" if run.found_micro_batches else ""
    text = f"{intervals.total:,} steps of {intervals.batch_size} images"
    if intervals.epochs is not None:
        text += f" ({intervals.epochs:.1f} epochs)"
    if config.train.accumulate == "auto":
        text += f", each in as many micro-batches as it takes{found}"
    elif config.train.accumulate > 1:
        text += f", each in {config.train.accumulate} micro-batches"
    if devices.replicas > 1:
        text += f", {intervals.batch_size // devices.replicas} a replica"
    return text


def _notes(config: Config, devices: Devices) -> list[tuple[str, str]]:
    notes = []
    if config.train.micro_batches > 1 and config.model.normalization == "batch" and ":" not in config.model.name:
        notes.append(
            (
                "note",
                "batch normalisation takes its statistics from each micro-batch, so that accumulation equals the one "
                "big batch but for them; --config.model.normalization=group has none.",
            )
        )
    if config.deterministic:
        notes.append(
            (
                "deterministic",
                "equal runs are equal bit for bit; a GPU has to take slower kernels for it, and an operation without a "
                "deterministic one raises",
            )
        )
    return notes
