"""`--mode=check`: everything that can be known before training is paid for. Data, loss, gradients, one batch learnt."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import sys
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from PIL import Image

from configs.schema import Config
from trainer import guard
from trainer.data import training_batches
from trainer.models.build import logits_per_pixel
from trainer.parts import load_attribute
from trainer.reporting import terminal
from trainer.reporting.failures import explain_failure
from trainer.reporting.panels import colored, overlay, rgb
from trainer.run import Run
from trainer.stepping.step import make_train_steps

_SHOWN = 4
_HALF = "perfect, float16 logits"
_OVERFIT_STEPS = 30
# One batch seen thirty times: a model that learns at all takes its loss below this share of where it began.
_OVERFIT_SHARE = 0.9


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of the report: what was looked at, in lines, and what is wrong."""

    title: str
    lines: tuple[str, ...]
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        marked = [f"  {line}" for line in self.lines] + [f"  PROBLEM: {problem}" for problem in self.problems]
        return "\n".join([self.title, *marked])


def sections(run: Run) -> Iterator[Section]:
    """The parts of the report in turn; none after gradients that are wrong: nothing learns by such."""
    looks = {"Pictures": show_batch, "Loss": check_loss, "Gradients": check_gradients, "Learning": check_learning}
    for title, look in looks.items():
        try:
            section = look(run)
        except Exception as error:
            explained = explain_failure(error, run, sys.stdout)
            if explained is None:
                raise
            section = Section(title, tuple(str(explained).splitlines()), ("it could not be computed, see above",))
        yield section
        if title == "Gradients" and section.problems:
            return


def show_batch(run: Run) -> Section:
    """Writes the first training images with their labels, as the model gets them: cropped and augmented."""
    path = os.path.join(run.workdir, "check.png")
    data = run.data
    batch = next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))
    rows = []
    for image, label in zip(batch["image"][:_SHOWN].numpy(), batch["label"][:_SHOWN].numpy(), strict=True):
        parts = rgb(image), colored(label, data.classes, data.void_id), overlay(image, label, classes=data.classes)
        rows.append(np.concatenate(parts, axis=1))
    try:
        os.makedirs(run.workdir, exist_ok=True)
        Image.fromarray(np.concatenate(rows)).save(path)
    except OSError as error:
        return Section("Pictures", (f"{path} cannot be written: {error.strerror}",))
    return Section("Pictures", (f"image, label and both, {len(rows)} times, as the model gets them: {path}",))


def check_loss(run: Run) -> Section:
    """The loss on predictions whose merit is known: perfect, wrong, all background, perfect in float16.

    A loss has to be finite on all of them, and lower for the perfect one than for the wrong one.
    """
    objective, config = run.objective, run.config
    outputs = logits_per_pixel(config)
    labels = tf.constant([[[int(8 <= i < 20 and 6 <= j < 26) for j in range(32)] for i in range(32)]] * 2, tf.int32)
    background = tf.zeros_like(labels)
    cases = {
        "perfect prediction": (labels, _logits(labels, outputs)),
        "wrong prediction": (labels, _logits(1 - labels, outputs)),
        "all background": (labels, _logits(background, outputs)),
        "empty mask, all background": (background, _logits(background, outputs)),
        "empty mask, all foreground": (background, _logits(background + 1, outputs)),
        _HALF: (labels, tf.cast(_logits(labels, outputs), tf.float16)),
    }
    values, problems, refused = {}, [], {}
    for name, (label, logits) in cases.items():
        try:
            values[name] = float(objective(label, logits).total)
        except Exception as error:  # a loss of the user's may raise anything
            reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
            refused.setdefault(reason, []).append(name)
            continue
        if not math.isfinite(values[name]):
            problems.append(f"{name}: the loss is {values[name]}")
    notes = []
    for reason, names in refused.items():
        if names == [_HALF]:
            notes.append(f"{_HALF}: {reason[:120]}; no harm here, where logits are always float32")
        else:
            problems.append(f"it raises {reason} ({'; '.join(names)})")
    perfect, wrong = values.get("perfect prediction", math.nan), values.get("wrong prediction", math.nan)
    if perfect >= wrong:
        problems.append(
            f"the loss of a perfect prediction ({perfect:.4f}) is not lower than that of a wrong one "
            f"({wrong:.4f}): a loss is "
            "minimised; a score needs a minus, `1 - score`"
        )
    half = values.get(_HALF, perfect)
    if abs(half - perfect) > 1e-2 * max(1.0, abs(perfect)):
        problems.append(
            f"float16 logits change the loss from {perfect:.4f} to {half:.4f}: cast inside, tf.cast(y_pred, tf.float32)"
        )
    problems += _swapped_arguments(config)
    lines = [f"{name:<27} {value:.4f}" for name, value in values.items()]
    return Section("Loss", (*lines, *notes), tuple(problems))


def _logits(labels, outputs: int) -> tf.Tensor:
    """Confident logits for class ids; where a model has one output, for class 1."""
    if outputs == 1:
        return tf.cast(2 * labels - 1, tf.float32)[..., None] * 12.0
    return 24.0 * tf.one_hot(labels, outputs) - 12.0


def _swapped_arguments(config: Config) -> list[str]:
    """A loss of the user's whose first parameter is named as a prediction is called with the labels there."""
    if ":" not in config.loss.name:
        return []
    try:
        names = list(inspect.signature(load_attribute(config.loss.name, "config.loss.name")).parameters)
    except (TypeError, ValueError):
        return []
    first, second = ([*names, "", ""])[:2]
    if any(word in first for word in ("pred", "logit", "output", "input")) and any(
        word in second for word in ("true", "label", "target", "mask")
    ):
        return [
            f"its parameters are ({first}, {second}), but it is called as Keras does, with the labels first: swap them"
        ]
    return []


def check_gradients(run: Run) -> Section:
    """The guard on a real batch: every trainable variable has a gradient that is finite and not all zero."""
    batch = next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))
    variables = run.state.trainable
    report = guard.explain(
        run.forward_loss(batch), variables, allow=run.config.guard.allow, allow_form="--config.guard.allow='{}'"
    )
    if report.ok:
        return Section(
            "Gradients", (f"all {len(variables)} trainable variables get a finite gradient that is not zero",)
        )
    lines = tuple(report.shown_on(sys.stdout).splitlines())
    return Section("Gradients", lines, (f"{len(report.findings)} finding(s), see above",))


def check_learning(run: Run) -> Section:
    """Thirty steps on one batch: what cannot learn that by heart will learn nothing."""
    config = dataclasses.replace(
        run.config, train=dataclasses.replace(run.config.train, jit_compile=False)
    )  # fmt: skip
    batch = next(iter(training_batches(
        run.data.train, config, start_step=0, steps=1,
        shard_index=run.devices.worker, shard_count=run.devices.workers, parts=run.devices.local_replicas,
    )))  # fmt: skip
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    iterator = iter(run.strategy.distribute_datasets_from_function(lambda context: dataset))
    train_steps = make_train_steps(run.state, run.objective, run.totals, run.strategy, config)
    losses = []
    for count in (1, _OVERFIT_STEPS - 2, 1):
        train_steps(iterator, tf.constant(count, tf.int64))
        losses.append(run.totals.read().get("loss", math.nan))
    first, last = losses[0], losses[-1]
    lines = (f"loss on one batch, {_OVERFIT_STEPS} steps: {terminal.number(first)} -> {terminal.number(last)}",)
    if not math.isfinite(last):
        return Section("Learning", lines, ("the loss is no number any more: lower --config.optimizer.learning_rate",))
    if first > 0 and last > _OVERFIT_SHARE * first:
        return Section("Learning", lines, (
            f"it fell by less than {100 * (1 - _OVERFIT_SHARE):.0f} %: the learning rate "
            f"({config.optimizer.learning_rate:g}) is too low or too "
            "high, or the labels do not belong to the images",
        ))  # fmt: skip
    return Section("Learning", lines)
