"""`Run.check`: everything that can be known before a run: data, loss, gradients, and whether one batch is learned."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from PIL import Image

from configs.reading.line_wrapping import wrapped
from configs.reading.recipe import recipe_text
from configs.reading.setting_names import named
from trainer import guard
from trainer.actions.micro_batches import Batches, FittingSteps
from trainer.checkpoints.restore import unchanged
from trainer.data import check_data, training_batches
from trainer.models.build import logits_per_pixel
from trainer.models.inputs import input_names
from trainer.reporting import terminal
from trainer.reporting.failures import explain_failure
from trainer.reporting.panels import colored, overlay, rgb
from trainer.reporting.progress import Progress
from trainer.reporting.tensorflow_messages import without_chatter
from trainer.reporting.volume_panels import stacked, volume_planes
from trainer.stepping.batchwise import batchwise_remark
from trainer.stepping.optimizer import lower_rate, scaled_rate
from trainer.stepping.segmentation import Segmentation
from trainer.stepping.task import terms_of

_SHOWN = 4
_MOST_LAYERS = 12
_HALF = "perfect, float16 logits"
_OVERFIT_STEPS = 30
# After thirty steps on one batch the loss of a model that learns at all is below this share of its first value.
_OVERFIT_SHARE = 0.9


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of the report: what was checked, in lines, and the problems."""

    title: str
    lines: tuple[str, ...]
    problems: tuple[str, ...] = ()
    # Whether the problems are to be added to the lines.
    marked: bool = True

    def __str__(self) -> str:
        problems = [f"  PROBLEM: {problem}" for problem in self.problems] if self.marked else []
        return "\n".join([self.title, *(f"  {line}".rstrip() for line in self.lines), *map(wrapped, problems)])


def check(run) -> tuple[Section, ...]:
    """Checks the data, the loss, the gradients and some steps on a batch, and logs each part when it is done.

    Weights, optimizer and counters are put back.
    """
    found = []
    for section in _sections(run):
        section = dataclasses.replace(
            section, lines=tuple(map(named, section.lines)), problems=tuple(map(named, section.problems))
        )
        run.log(f"{section}\n")
        found.append(section)
    return tuple(found)


def _sections(run) -> Iterator[Section]:
    """The parts of the report in turn; data or gradients that are wrong end it, since nothing can learn from them."""
    if run.parts.data is None:
        run.log("Looking into every file …")
        found = check_data(run.config, progress=Progress("read", run.log))
        end = () if found.ok else ("The data have to be put right first; loss and gradients were not looked at.",)
        yield Section("Data", (*found.text().splitlines(), *end), tuple(found.problems), marked=False)
        if not found.ok:
            return
    segments = isinstance(run.task, Segmentation)
    looks = {"Pictures": show_batch, "Loss": check_loss} if segments else {}
    if run.parts.data is None:
        looks = {"Recipe": show_recipe, **looks}
    looks |= {"Gradients": check_gradients, "Terms": check_terms}
    looks |= {"Derivatives": check_derivatives} if run.config.guard.derivatives else {}
    if segments and run.devices.replicas == 1 and input_names(run.task.model) == ("image",):
        looks["Doctor"] = check_model
    looks["Learning"] = check_learning
    for title, look in looks.items():
        try:
            with without_chatter():
                section = look(run)
        except Exception as error:
            explained = explain_failure(error, run, sys.stdout)
            if explained is None:
                raise
            section = Section(title, tuple(str(explained).splitlines()), ("it could not be computed, see above",))
        yield section
        if title == "Gradients" and section.problems:
            return


def show_recipe(run) -> Section:
    """Writes the config, completed from the data, as a recipe that can be edited and trained with `--config=FILE`."""
    run.data  # noqa: B018  (what they say belongs to the config)
    text, path = recipe_text(run.config), os.path.join(run.workdir, "recipe.py")
    try:
        os.makedirs(run.workdir, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return Section("Recipe", (f"{path} cannot be written: {error.strerror}",))
    body = text[text.index("    return Config(") :].rstrip().splitlines()
    return Section("Recipe", (f"what was recognised, to be changed where it is wrong: --config={path}", *body))


def show_batch(run) -> Section:
    """Writes the first training images with their labels as the model gets them, cropped and augmented."""
    path = os.path.join(run.workdir, "check.png")
    data = run.data
    batch = next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))
    rows = []
    volumes = batch["label"].shape.rank == 4
    for image, label in zip(batch["image"][:_SHOWN].numpy(), batch["label"][:_SHOWN].numpy(), strict=True):
        if volumes:
            spacing = run.config.data.spacing if all(run.config.data.spacing) else ()
            cut = volume_planes(image, label, label, spacing=spacing or (1.0,) * 3, box=None, void_id=data.void_id)
            image, label = cut["image"], cut["label"]
        parts = rgb(image), colored(label, data.classes, data.void_id), overlay(image, label, classes=data.classes)
        rows.append(np.concatenate(parts, axis=1))
    try:
        os.makedirs(run.workdir, exist_ok=True)
        Image.fromarray(stacked(rows)).save(path)
    except OSError as error:
        return Section("Pictures", (f"{path} cannot be written: {error.strerror}",))
    return Section("Pictures", (f"image, label and both, {len(rows)} times, as the model gets them: {path}",))


def check_loss(run) -> Section:
    """The loss on predictions of known quality: perfect, wrong, all background, perfect in float16.

    It has to be finite on all of them, and lower for the perfect one than for the wrong one.
    """
    config = run.config
    outputs = logits_per_pixel(config)
    if config.data.multi_label:
        return _check_overlapping(run)
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
    return _judged(run, cases)


def _check_overlapping(run) -> Section:
    """As `check_loss`, of classes that overlap: three shapes that share pixels."""
    outputs = logits_per_pixel(run.config)
    rows, columns = np.indices((32, 32))
    planes = np.stack([(rows >= 8 + k % 3) & (rows < 20) & (columns >= 6) & (columns < 26) for k in range(outputs)], -1)
    labels = tf.constant(np.stack([planes] * 2), tf.int32)
    nothing = tf.zeros_like(labels)

    def confident(planes):
        return 24.0 * tf.cast(planes, tf.float32) - 12.0

    return _judged(
        run,
        {
            "perfect prediction": (labels, confident(labels)),
            "wrong prediction": (labels, confident(1 - labels)),
            "no class anywhere": (labels, confident(nothing)),
            "empty masks, no class": (nothing, confident(nothing)),
            "empty masks, all classes": (nothing, confident(nothing + 1)),
            _HALF: (labels, tf.cast(confident(labels), tf.float16)),
        },
    )


def _judged(run, cases) -> Section:
    """The section about losses of predictions of known quality."""
    objective = run.task.objective
    values, problems, refused = {}, [], {}
    for name, (label, logits) in cases.items():
        try:
            values[name] = sum(float(term) for term in objective(label, logits).values())
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
            f"the loss of a perfect prediction ({perfect:.4f}) is not lower than that of a wrong one ({wrong:.4f}): a "
            "loss is minimised; a score needs a minus, `1 - score`"
        )
    half = values.get(_HALF, perfect)
    if abs(half - perfect) > 1e-2 * max(1.0, abs(perfect)):
        problems.append(
            f"float16 logits change the loss from {perfect:.4f} to {half:.4f}: cast inside, tf.cast(y_pred, tf.float32)"
        )
    notes += _batchwide(run)
    lines = [f"{name:<27} {value:.4f}" for name, value in values.items()]
    return Section("Loss", (*lines, *notes), tuple(problems))


def _logits(labels, outputs: int) -> tf.Tensor:
    """Confident logits for class ids; where a model has one output, for class 1."""
    if outputs == 1:
        return tf.cast(2 * labels - 1, tf.float32)[..., None] * 12.0
    return 24.0 * tf.one_hot(labels, outputs) - 12.0


def _batchwide(run) -> list[str]:
    found = batchwise_remark(run)
    return [found] if found else []


def check_gradients(run) -> Section:
    """The guard on a real batch: every trainable variable has a gradient that is finite and not all zero."""
    batch = next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))
    variables = run.state.trainable
    report = guard.explain(
        run.forward_loss(batch), variables, allow=run.config.guard.allow, allow_form=named("--config.guard.allow='{}'")
    )
    if report.ok:
        return Section(
            "Gradients", (f"all {len(variables)} trainable variables get a finite gradient that is not zero",)
        )
    lines = tuple(report.shown_on(sys.stdout).splitlines())
    return Section("Gradients", lines, (f"{len(report.findings)} finding(s), see above",))


def check_derivatives(run) -> Section:
    """Whether the gradient of a real batch is the derivative of the loss; only where config.guard.derivatives asks."""
    batch = next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))
    try:
        report = guard.check_derivatives(run.forward_loss(batch), run.state.trainable)
    except ValueError as error:  # gradients that are missing or not finite have a section of their own
        return Section("Derivatives", (str(error),), ("they could not be compared",))
    if report.ok:
        remarks = report.notes or ("the gradient is the derivative of the loss, along one direction",)
        return Section("Derivatives", tuple(remarks))
    lines = tuple(report.shown_on(sys.stdout).splitlines())
    return Section("Derivatives", lines, (f"{len(report.findings)} wrong derivative(s), see above",))


def check_terms(run) -> Section:
    """Which term of the loss trains which layer, by the norms of their gradients, and which pull against each other."""
    batch = next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))

    def terms():
        found = {}
        for update in run.state.updates:
            outcome = run.task.outcome(batch, training=True, phase=update.name)
            found |= terms_of(outcome, update.phase, run.task)
            penalties = update.penalties()
            found |= {"penalties": tf.add_n([tf.cast(part, tf.float32) for part in penalties])} if penalties else {}
        return found

    table = guard.gradient_table(terms, run.state.trainable)
    return Section("Terms of the loss (gradient norms)", tuple(table.render(_MOST_LAYERS).splitlines()))


def check_model(run) -> Section:
    """The doctor on one batch: whether activation, loss and labels fit together, initial weights, scales, dead
    units."""
    batch = next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))

    def loss(y_true, y_pred):
        extras = batch if y_true.shape[0] == batch["label"].shape[0] else {}
        return tf.add_n(list(run.task.objective(y_true, y_pred, extras).values()))

    diagnosis = guard.diagnose(
        run.task.model,
        loss,
        run.state.optimizer,
        batch["image"],
        batch["label"],
        batch_size=run.config.train.batch_size,
        depth="batch",
    )
    lines = tuple(str(diagnosis).splitlines())
    return Section("Doctor", lines, tuple(f"{f.kind}: {', '.join(f.places)}" for f in diagnosis.findings))


def check_learning(run) -> Section:
    """Some steps on one batch at the full learning rate: a model that cannot fit one batch will learn nothing."""
    config = dataclasses.replace(run.config, train=dataclasses.replace(run.config.train, jit_compile=False))
    batch = next(
        iter(
            training_batches(
                run.data.train,
                config,
                start_step=0,
                steps=1,
                shard_index=run.devices.worker,
                shard_count=run.devices.workers,
                parts=run.devices.local_replicas,
            )
        )
    )
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    with unchanged(run.state), _at_full_rate(run) as rate:
        steps = FittingSteps(run, config=config, keep=False)
        batches = Batches(lambda step: iter(run.strategy.distribute_datasets_from_function(lambda context: dataset)), 0)
        losses = []
        for count in (1, _OVERFIT_STEPS - 2, 1):
            steps.many(batches, tf.constant(count, tf.int64))
            losses.append(run.totals.read().get("loss", math.nan))
    first, last = losses[0], losses[-1]
    lines = (f"loss on one batch, {_OVERFIT_STEPS} steps: {terminal.number(first)} -> {terminal.number(last)}",)
    if not math.isfinite(last):
        return Section(
            "Learning", lines, (f"the loss is no number any more. {lower_rate(config, run.parts.optimizer)}",)
        )
    if first > 0 and last > _OVERFIT_SHARE * first:
        return Section(
            "Learning",
            lines,
            (
                f"it fell by less than {100 * (1 - _OVERFIT_SHARE):.0f} %: the learning rate ({rate:.3g}) is too low "
                "or too high, or the labels do not belong to the images",
            ),
        )
    return Section("Learning", lines)


@contextlib.contextmanager
def _at_full_rate(run) -> Iterator[float]:
    """Inside, every optimizer has the highest rate of its schedule, since a warm-up lasts longer than these steps."""
    scaled = [scaled_rate(update.optimizer) for update in run.state.updates]
    before = [each.rate for each in scaled]
    steps = np.unique(np.linspace(0, max(run.intervals.total - 1, 0), 65).astype(int))
    for each in scaled:
        each.rate = max(float(each.rate(tf.constant(step))) for step in steps) if callable(each.rate) else each.rate
    try:
        yield max(each.rate for each in scaled)
    finally:
        for each, rate in zip(scaled, before, strict=True):
            each.rate = rate
