"""`--mode=plan` and `Run.plan`: look at the data, time some steps, write a recipe."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable, Sequence

import numpy as np

from configs.reading import fields
from configs.reading.folders import named_after
from configs.reading.recipe import recipe_text
from configs.schema import Config, Data
from trainer.data.errors import DataError, listed
from trainer.data.opening import open_splits
from trainer.data.sources.splits import Splits
from trainer.data.volumes.source import Cases
from trainer.errors import UserError
from trainer.plan import volumes
from trainer.plan.budget import budget
from trainer.plan.choice import Choice, size, with_choices
from trainer.plan.fingerprint import Fingerprint, fingerprint
from trainer.plan.grouping import advice, grouping
from trainer.plan.page import PAGE_FILE, page, pictures
from trainer.plan.probe import Measured, measure
from trainer.plan.rules import choices
from trainer.reporting.records import write_whole


@dataclasses.dataclass(frozen=True)
class Plan:
    """A recipe drawn from the data.

    config: the plan as a config.
    text: the same as a Python file with `get_config()`, and the reason beside each value.
    choices: field, value and reason, in order.
    fingerprint: the figures of the data.
    measured: time and memory of the steps that were taken.
    notes: what was recognised, and what is worth a thought.
    pictures: of unusual examples, for the page: name, why, and the picture as a data URI.
    """

    config: Config
    text: str
    choices: tuple[Choice, ...]
    fingerprint: Fingerprint
    measured: Measured
    notes: tuple[str, ...]
    pictures: tuple[dict, ...] = ()


def plan(
    config: Config,
    *,
    given: Sequence[str] = (),
    log: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    measuring: Callable[[Config], Measured] = measure,
) -> Plan:
    """Draws a recipe from the data that a config names.

    Args:
      config: data (path, source, what is known of them), plan.minutes and plan.memory_gib are read.
      given: fields beside them that stay as they are in `config`: "model.width".
      log: gets a line for each stage.
      progress: called with the number of examples read and of all to be read.
      measuring: takes some steps of a config.

    Raises:
      DataError: the data cannot be read, with all that is wrong.
    """
    splits, section = _opened(config.data)
    what = "volumes" if isinstance(splits.train, Cases) else "images"
    log(f"Looking at {len(splits.train.names):,} {what} ({splits.title}) …")
    found = fingerprint(splits, section, progress=progress)
    prepared = []
    if isinstance(splits.train, Cases):
        prepared = volumes.preparation(found, config.data)
        values = {choice.field.removeprefix("data."): choice.value for choice in prepared}
        # Once more: intensities of CT are measured where files are opened.
        splits, section = _opened(dataclasses.replace(config.data, **values))
    groups = grouping(found, splits, section)
    notes = (*splits.notes, *_thoughts(found), *advice(found, bool(groups or section.group)))
    # What the data say is written into the recipe: nobody has to recognise it again.
    of_data = [
        Choice(f"data.{f.name}", getattr(section, f.name), _said(f.name, splits.notes))
        for f in dataclasses.fields(section)
        if getattr(section, f.name) != f.default and not (f.name == "classes" and not section.classes)
    ]
    chosen = [*of_data, *prepared, *groups, *choices(found, section)]
    fixed = [
        Choice(f, fields.get(config, f), "as given") for f in given if not f.startswith(("data.", "plan.", "name"))
    ]
    plain = dataclasses.replace(Config(), plan=config.plan, name=named_after(config))
    candidate = with_choices(plain, [*chosen, *fixed])
    log("Taking some steps to see what they cost …")

    def logged(tried: Config) -> Measured:
        measured = measuring(tried)
        crop, model = size(tried.augment.crop), tried.model
        precision = "" if tried.precision == "auto" else f", {tried.precision}"
        log(
            f"  width {model.width}, depth {model.depth}, {tried.train.batch_size} crops of {crop}"
            f"{precision}: {measured.step:.2g} s a step, {measured.memory:.1f} GiB"
        )
        return measured

    fitted = budget(candidate, found, logged, fixed={choice.field for choice in fixed})
    final = {choice.field: choice for choice in [*chosen, *fitted.choices, *fixed]}
    chosen = list(final.values())
    made = with_choices(candidate, chosen)
    reasons = {"name": "", **{choice.field: choice.reason for choice in chosen}}
    text = recipe_text(made, reasons, _head(made, found, notes))
    shown = tuple(pictures(found, splits.train, section))
    return Plan(made, text, tuple(chosen), found, fitted.measured, notes, shown)


def _opened(data: Data) -> tuple[Splits, Data]:
    splits, section = open_splits(data)
    if splits.fatal or (splits.problems and section.bad_files == "stop"):
        problems = [*splits.fatal, *splits.problems]
        raise DataError(f"The data have {len(problems)} problem(s) ({splits.title}):\n{listed(problems)}")
    return splits, section


def command(path: str) -> str:
    """What trains a recipe."""
    return f"python main.py --config={shlex.quote(path)}"


def write(made: Plan, path: str) -> None:
    """Writes the recipe to a file, and plan.html beside it.

    Raises:
      UserError: it cannot be written, or is there already with other content: an edited recipe is not overwritten.
    """
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() != made.text:
                raise UserError(
                    f"{path} is there already, and may have been edited: move it away, or write --output=DIRECTORY."
                )
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(made.text)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    beside = os.path.join(os.path.dirname(path), PAGE_FILE)
    try:
        write_whole(beside, page(made, command(path)).encode())
    except OSError as error:
        raise UserError(f"{beside} cannot be written: {error.strerror}") from error


def summary(made: Plan, path: str) -> str:
    """The plan for the terminal: the figures, the main values, and the command that trains it."""
    found, config, reasons = made.fingerprint, made.config, {choice.field: choice.reason for choice in made.choices}
    lines = [
        f"{found.examples:,} {found.images} to train on, {found.validation:,} to score; {len(found.cases):,} were "
        "looked at",
        f"size      {size(found.median_size)} {found.pixels} at the median, {_sizes(found)}",
        "classes   " + ", ".join(f"{n} {s:.1%}" for n, s in zip(found.classes, found.shares, strict=False)),
        *(f"void      {found.shares[-1]:.1%}" for _ in range(int(found.shares[-1] > 0))),
        *(f"unusual   {name}: {why}" for name, why in found.unusual(4)),
        *(f"note      {note}" for note in made.notes),
        "",
        f"network   {config.model.name}, width {config.model.width}, depth {config.model.depth}, "
        f"{config.model.normalization} normalisation",
        f"step      {config.train.batch_size} crops of {size(config.augment.crop)}: "
        f"{made.measured.step:.2g} s, {made.measured.memory:.1f} GiB at the most",
        f"length    {config.train.length}: {reasons['train.length']}",
        "",
        f"The recipe, with the reason beside each value: {path}",
        f"  train it  {command(path)}",
        f"The data as a page, with pictures: {os.path.join(os.path.dirname(path), PAGE_FILE)}",
    ]
    return "\n".join(lines)


def _sizes(found: Fingerprint) -> str:
    text = f"{size(found.sizes.min(axis=0))} to {size(found.sizes.max(axis=0))}"
    if found.rank == 3:
        text += f"; voxels of {size(np.median(found.spacings, axis=0))} mm at the median"
    return text


def _said(name: str, notes: tuple[str, ...]) -> str:
    words = {
        "classes": ("class",),
        "value_range": ("8 bits",),
        "channels": ("channels",),
        "mask_encoding": ("mask", "colour"),
        "intensities": ("CT:",),
    }.get(name, ())
    return next((note for note in notes if any(word in note for word in words)), "")


def _thoughts(found: Fingerprint) -> list[str]:
    """What no value can be drawn from, and a person ought to know."""
    out = [f"{len(found.unread)} examples could not be read: {found.unread[0]}"] if found.unread else []
    absent = [name for name, seen in zip(found.classes, found.present, strict=True) if not seen]
    if absent:
        out.append(f"{', '.join(absent)}: in none of the {found.images} that were looked at")
    if not found.validation:
        out.append("there is nothing to score on: data.validation_fraction holds a part out")
    return out


def _head(config: Config, found: Fingerprint, notes: Sequence[str]) -> str:
    lines = [
        f"Planned from {found.examples:,} {found.images}, for {config.plan.minutes:g} minutes and "
        f"{config.plan.memory_gib:g} GiB.",
        "",
        "Each value stands under the figure that it follows from. Change what you know better, and train it:",
        "",
        "    python main.py --config=THIS_FILE",
    ]
    if len(found.cases) < found.examples:
        lines += ["", f"{len(found.cases)} of the {found.examples:,} {found.images} were looked at, at even distances."]
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines)
