"""What a run is about to do, in rows for the terminal."""

from __future__ import annotations

import math

from configs.schema import Config
from trainer.distribution.strategy import Devices
from trainer.reporting import terminal
from trainer.stepping.intervals import Plan
from trainer.stepping.precision import Precision


def opening_text(config: Config, data, plan: Plan, model, devices: Devices, precision: Precision, workdir: str) -> str:
    """The opening summary: data, classes, model and parameters, loss, devices and precision with the reasons, steps."""
    train, validation = len(data.train), len(data.validation)
    source = config.data.source
    source = {"nuclei": "nuclei (embedded)", "tfds": config.data.name, "folder": config.data.path}.get(source, source)
    count = sum(_size(v) for v in model.weights)
    trainable = sum(_size(v) for v in model.trainable_weights)
    return terminal.opening(
        name=config.name,
        data=f"{source}: {train} training and {validation} validation images",
        classes=data.classes,
        model=_model_text(config),
        parameters=count,
        trainable_parameters=trainable,
        loss=_loss_text(config),
        devices=devices.reason,
        precision=precision.reason,
        steps=_steps_text(config, plan, devices),
        workdir=workdir,
        more=[*_notes(config, devices), *(("note", note) for note in data.notes)],
    )


def _size(variable) -> int:
    return math.prod(variable.shape)


def _model_text(config: Config) -> str:
    model = config.model
    if model.name == "unet":
        return f"unet, width {model.width}, depth {model.depth}"
    if model.name == "encoder_unet":
        return f"encoder_unet on {model.encoder} ({model.encoder_weights or 'random weights'}), width {model.width}"
    return model.name


def _loss_text(config: Config) -> str:
    names = config.loss.name.split("+")
    weights = config.loss.weights or (1.0,) * len(names)
    return " + ".join(
        name if weight == 1.0 else f"{weight:g} {name}" for name, weight in zip(names, weights, strict=False)
    )


def _steps_text(config: Config, plan: Plan, devices: Devices) -> str:
    text = f"{plan.total:,} steps of {plan.batch_size} images ({plan.epochs:.1f} epochs)"
    if config.train.accumulate > 1:
        text += f", each in {config.train.accumulate} micro-batches"
    if devices.replicas > 1:
        text += f", {plan.batch_size // devices.replicas} a replica"
    return text


def _notes(config: Config, devices: Devices) -> list[tuple[str, str]]:
    notes = []
    if config.train.accumulate > 1 and config.model.normalization == "batch" and ":" not in config.model.name:
        notes.append((
            "note",
            "batch normalisation takes its statistics from each micro-batch, so that accumulation "
            "equals the one big batch "
            "but for them; --config.model.normalization=group has none.",
        ))  # fmt: skip
    if config.deterministic:
        notes.append((
            "deterministic",
            "equal runs are equal bit for bit. On a CPU a U-Net's step took up to 1.06 times as long; a GPU has to "
            "take slower kernels, and an operation without a deterministic one raises",
        ))  # fmt: skip
    return notes
