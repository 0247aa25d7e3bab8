"""Compares runs: which settings differ, their curves in one diagram, and whether a score differs by chance."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from configs.reading.line_wrapping import wrapped
from trainer.errors import UserError, numbered
from trainer.reporting import terminal
from trainer.reporting.page import figures
from trainer.reporting.page.bootstrap import FEW, LEVEL, RESAMPLES, Difference, paired_bootstrap
from trainer.reporting.page.curves import Diagram, thinned
from trainer.reporting.page.figures import Line
from trainer.reporting.page.folder import Folder, default_settings, read_folder
from trainer.reporting.page.rendering import render, setting
from trainer.reporting.records import write_whole

COMPARISON_FILE = "compare.html"
# Fields in which any two runs differ, without meaning.
_OF_ANY_RUN = ("name",)


@dataclasses.dataclass(frozen=True)
class Row:
    """A score of both runs: the mean Dice, or a class's."""

    name: str
    difference: Difference


@dataclasses.dataclass(frozen=True)
class Pair:
    """The first run, A, and another run, B.

    Attributes:
      a, b: their names.
      images: those on which both were evaluated; images of only one are left out.
      rows: scores of these images.
      notes: what the comparison leaves out or cannot know.
      refused: why there are no rows.
    """

    a: str
    b: str
    images: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    refused: str = ""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The differences between runs.

    Attributes:
      names: the runs' names.
      fields: (field, value of each run).
      pairs: each run with the first.
    """

    folders: tuple[Folder, ...]
    names: tuple[str, ...]
    fields: tuple[tuple[str, tuple[Any, ...]], ...]
    pairs: tuple[Pair, ...]
    diagrams: tuple[Diagram, ...]

    def text(self) -> str:
        """The comparison for the terminal."""
        parts = []
        if self.fields:
            rows = [[field, *(setting(value) for value in values)] for field, values in self.fields]
            parts.append(terminal.table(["setting", *self.names], rows))
        else:
            parts.append("  The settings are the same.")
        for pair in self.pairs:
            title = f"A = {pair.a}\nB = {pair.b}"
            if pair.refused:
                parts.append(f"{title}\n{wrapped(f'  Not compared: {pair.refused}')}")
                continue
            rows = [
                [row.name, *(_shown(getattr(row.difference, key)) for key in ("a", "b", "difference", "low", "high"))]
                + [_probability(row.difference), str(row.difference.images), row.difference.verdict]
                for row in pair.rows
            ]
            header = ["Dice", "A", "B", "B - A", "from", "to", "B better", "images", "verdict"]
            table = terminal.table(header, rows, rule_before=1 if len(rows) > 1 else None)
            notes = "".join("\n" + wrapped(f"  {note}") for note in pair.notes)
            parts.append(f"{title}\n{table}{notes}")
        return "\n\n".join(parts)

    def write(self, output: str) -> str:
        """Writes compare.html into a directory; returns its path."""
        path = os.path.join(output, COMPARISON_FILE)
        write_whole(path, self.page().encode())
        return path

    def page(self) -> str:
        drawings = [
            figures.intervals(
                [
                    (row.name, row.difference.low, row.difference.difference, row.difference.high)
                    for row in pair.rows[:20]
                    if not math.isnan(row.difference.difference)
                ],
                x="Dice of B minus Dice of A, with its 95 % interval",
                label=f"Difference {number}",
            )
            if pair.rows
            else ""
            for number, pair in enumerate(self.pairs)
        ]
        return render(
            "compare.html",
            names=self.names,
            folders=self.folders,
            fields=[(field, *values) for field, values in self.fields],
            pairs=list(zip(self.pairs, drawings, strict=True)),
            diagrams=self.diagrams,
            problems=[f"{f.path}: {problem}" for f in self.folders for problem in f.problems],
        )


def compare(runs: Sequence[str], *, seed: int = 0) -> Comparison:
    """Reads the folders of two or more runs and compares each with the first.

    Raises:
      UserError: a folder holds no evaluated run.
    """
    folders = tuple(read_folder(run) for run in runs)
    problems = [
        f"{folder.path}: there is no evaluation.json in it, so there are no scores to compare."
        + "".join(f" {problem}" for problem in folder.problems)
        + f" Write one: python main.py --workdir={folder.path} --mode=evaluate"
        for folder in folders
        if not folder.evaluation
    ]
    if problems:
        raise UserError(numbered(problems))
    names = _names(folders)
    pairs = [
        _pair(folders[0], folder, names[0], name, seed) for folder, name in zip(folders[1:], names[1:], strict=True)
    ]
    return Comparison(folders, names, _differing_fields(folders), tuple(pairs), tuple(_diagrams(folders, names)))


def _names(folders: Sequence[Folder]) -> tuple[str, ...]:
    """The folders' names, with as much of the path before them as distinguishes them."""
    paths = [os.path.normpath(folder.path).split(os.sep) for folder in folders]
    for count in range(1, max(map(len, paths)) + 1):
        names = [os.sep.join(path[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(folder.path for folder in folders)


def _differing_fields(folders: Sequence[Folder]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Fields that are not the same in all runs; one that a run of an earlier version lacks has its default."""
    default = default_settings()
    known = dict.fromkeys(field for folder in folders for field in folder.config)
    found = []
    for field in known:
        values = tuple(folder.config.get(field, default.get(field)) for folder in folders)
        if field not in _OF_ANY_RUN and any(value != values[0] for value in values[1:]):
            found.append((field, values))
    return tuple(found)


def _pair(a: Folder, b: Folder, name_a: str, name_b: str, seed: int) -> Pair:
    def refused(why: str) -> Pair:
        return Pair(name_a, name_b, 0, (), (), why)

    found = [folder.evaluation.get("by_image") or {} for folder in (a, b)]
    for folder, columns in zip((a, b), found, strict=True):
        if "dice" not in columns:
            terms = "terms" in folder.evaluation
            kind = "scores of a task that is no segmentation" if terms else "no scores by image"
            return refused(
                f"{folder.path} has {kind}."
                + ("" if terms else f" Write them: python main.py --workdir={folder.path} --mode=evaluate")
            )
    places = [{name: place for place, name in enumerate(columns["name"])} for columns in found]
    common = [name for name in places[0] if name in places[1]]
    alone = [len(places[0]) - len(common), len(places[1]) - len(common)]
    if not common:
        return refused(
            f"no image of A ({len(places[0])} images) was evaluated in B ({len(places[1])} images): other data, or "
            "another split (data.split_seed, data.validation_fraction)."
        )
    labels = [
        [columns.get("label", [None] * len(place))[place[n]] for n in common]
        for columns, place in zip(found, places, strict=True)
    ]
    other = [name for name, x, y in zip(common, *labels, strict=True) if None not in (x, y) and x != y]
    if other:
        return refused(
            f"{len(other)} of the {len(common)} images that both have are of the same name and have other labels "
            f"({', '.join(other[:3])}{', …' if len(other) > 3 else ''}): scores against different labels do not "
            "compare."
        )
    classes = [name for name in found[0]["dice"] if name in found[1]["dice"]]
    scored = [name for name in a.evaluation["scored"] if name in b.evaluation["scored"]]
    if not classes:
        return refused("the runs have no class in common.")

    def values(run: int, column: Sequence) -> np.ndarray:
        return np.array([math.nan if column[places[run][n]] is None else column[places[run][n]] for n in common])

    rows = []
    if set(a.evaluation["scored"]) == set(b.evaluation["scored"]):
        tables = [np.stack([values(run, each["dice"][c]) for c in scored], 1) for run, each in enumerate(found)]
        rows.append(Row("mean", paired_bootstrap(*tables, seed=seed)))
    for name in [*scored, *(name for name in classes if name not in scored)]:
        columns = [values(run, each["dice"][name]) for run, each in enumerate(found)]
        rows.append(Row(name if name in scored else f"* {name}", paired_bootstrap(*columns, seed=seed)))
    return Pair(name_a, name_b, len(common), tuple(rows), tuple(_notes(a, b, common, alone, classes, scored)))


def _notes(a: Folder, b: Folder, common, alone, classes, scored) -> list[str]:
    notes = []
    if any(alone):
        notes.append(
            f"Only the {len(common)} images that both were evaluated on are compared; {alone[0]} are in A alone and "
            f"{alone[1]} in B alone."
        )
    if len(common) < FEW:
        notes.append(f"{len(common)} images are few: the interval is narrower than it should be.")
    notes.append(
        f"{LEVEL:.0%} interval of {RESAMPLES} paired resamples of the images. It says whether other images would show "
        "the difference, not whether another seed would: for that train each several times."
    )
    if len(rows := [*scored, *(c for c in classes if c not in scored)]) > 1:
        notes.append(
            f"Of {len(rows)} classes that do not differ, one in twenty looks as if it did."
            + (" Classes marked * are not in the mean." if set(scored) != set(classes) else "")
        )
    left = {*a.evaluation["dice"], *b.evaluation["dice"]} - set(classes)
    if left:
        notes.append(f"Classes of one run alone: {', '.join(sorted(left))}.")
    return notes


def _diagrams(folders: Sequence[Folder], names: Sequence[str]) -> list[Diagram]:
    """Diagrams of the curves of at least one run, with a line for each run."""
    wanted = [
        ("Training loss", "train", "loss", {"log": True}),
        ("Validation loss", "eval", "loss", {"log": True}),
        ("Mean Dice, validation", "eval", "mean_dice", {"unit_range": True}),
        ("Learning rate", "train", "learning_rate", {}),
        ("Gradient norm before clipping", "train", "gradient_norm", {"log": True}),
        ("Images a second", "train", "images_per_second", {}),
    ]
    found = []
    for title, kind, key, look in wanted:
        lines = []
        for folder, name in list(zip(folders, names, strict=True))[: figures.MOST_LINES]:
            records = [r for r in (folder.train if kind == "train" else folder.evaluations) if key in r]
            kept = thinned(records)
            if kept:
                lines.append(Line(name, [r["step"] for r in kept], [r[key] for r in kept], marks=kind == "eval"))
        if lines:
            found.append(Diagram(title, figures.curves(lines, x="step", label=title, **look)))
    return found


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.4f}" if value < 0 else f"{value:.4f}"


def _probability(difference: Difference) -> str:
    return "-" if math.isnan(difference.better) else f"{100 * difference.better:.1f} %"
