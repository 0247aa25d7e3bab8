"""An evaluation's results in the order of the page: classes, confusion, images, pictures, reliability, objects."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from trainer.reporting.page import figures
from trainer.reporting.page.folder import Folder

# The most classes and images in the tables; evaluation.json has all.
MOST_CLASSES = 40
MOST_IMAGES = 100
# A mean over so few images means little.
FEW_IMAGES = 10


def by_class(evaluation: Mapping) -> dict[str, Any] | None:
    """The scores of each class and the means, and in words which images the means leave out."""
    if "dice" not in evaluation:
        return None
    scored, counted = list(evaluation["scored"]), evaluation["counted"]
    rows = [
        {
            "name": name,
            "scored": name in scored,
            "dice": evaluation["dice"][name],
            "iou": evaluation["iou"][name],
            "dice_pooled": evaluation["dice_pooled"][name],
            "iou_pooled": evaluation["iou_pooled"][name],
            "counted": counted[name],
        }
        for name in evaluation["classes"]
    ]
    notes = []
    nothing = [name for name in scored if not counted[name]]
    few = [f"{name} ({counted[name]})" for name in scored if 0 < counted[name] < FEW_IMAGES]
    if set(scored) != set(evaluation["classes"]):
        notes.append("Classes marked * are not in the mean.")
    if nothing:
        notes.append(f"In no image, in neither label nor prediction, and so not in the mean: {', '.join(nothing)}.")
    if few and evaluation["images"] >= FEW_IMAGES:
        notes.append(f"Counted on few images, so that their scores say little: {', '.join(few)}.")
    return {"rows": rows, "notes": notes}


def confusion(evaluation: Mapping) -> dict[str, Any] | None:
    """Pixels by label (row) and prediction (column), with each cell's share of its row."""
    matrix = evaluation.get("confusion")
    if not matrix:
        return None
    names = list(evaluation["classes"])
    if isinstance(matrix[0][0], list):
        return _overlapping(matrix, names)
    shown = list(range(len(names)))
    if len(names) > MOST_CLASSES:
        wrong = [sum(matrix[c]) + sum(row[c] for row in matrix) - 2 * matrix[c][c] for c in shown]
        shown = sorted(sorted(shown, key=lambda c: -wrong[c])[:MOST_CLASSES])
    rows = []
    for c in shown:
        total = sum(matrix[c])
        cells = [
            {"pixels": matrix[c][d], "share": matrix[c][d] / total if total else None, "right": c == d} for d in shown
        ]
        rows.append({"name": names[c], "total": total, "cells": cells})
    note = ""
    if len(shown) < len(names):
        note = (
            f"The {len(shown)} classes with the most wrong pixels, of {len(names)}; evaluation.json has all. Shares "
            "are of all the class's pixels."
        )
    return {"names": [names[c] for c in shown], "rows": rows, "note": note, "overlapping": False}


def _overlapping(tables: list, names: list[str]) -> dict[str, Any]:
    """A row for each class: classes that overlap have a table of two by two each."""
    rows = []
    for name, ((right_without, invented), (missed, found)) in zip(names, tables, strict=True):
        label, others = found + missed, right_without + invented
        parts = ((found, label, True), (missed, label, False), (invented, others, False), (right_without, others, True))
        cells = [
            {"pixels": pixels, "share": pixels / total if total else None, "right": right}
            for pixels, total, right in parts
        ]
        rows.append({"name": name, "total": label + others, "cells": cells})
    note = "Classes overlap here, so each has a table of its own: found and missed are shares of its label's pixels, "
    note += "invented and rightly not said of the others."
    return {
        "names": ["found", "missed", "invented", "rightly not said"],
        "rows": rows,
        "note": note,
        "overlapping": True,
    }


def images(evaluation: Mapping) -> dict[str, Any] | None:
    """Each image's scores, the worst first, with their distribution."""
    found = evaluation.get("by_image") or {}
    if not found.get("name") or "mean_dice" not in found:
        return None
    scored = list(evaluation["scored"])
    losses = found.get("loss") or [None] * len(found["name"])
    rows = [
        {
            "name": name,
            "mean_dice": found["mean_dice"][n],
            "loss": losses[n],
            "dice": [found["dice"][c][n] for c in scored],
        }
        for n, name in enumerate(found["name"])
    ]
    rows.sort(key=lambda row: (row["mean_dice"] is None, row["mean_dice"], row["name"]))
    values = [row["mean_dice"] for row in rows if row["mean_dice"] is not None]
    note = ""
    if len(rows) > 2 * MOST_IMAGES:
        note = f"The {MOST_IMAGES} lowest and the {MOST_IMAGES} highest of {len(rows)}; evaluation.json has all."
        rows = rows[:MOST_IMAGES] + rows[-MOST_IMAGES:]
    facts = {}
    if values:
        facts = {"lowest": min(values), "median": statistics.median(values), "highest": max(values)}
    label = "Mean Dice of each image"
    return {
        "rows": rows,
        # One column equals the mean; sixty do not fit in a table.
        "classes": scored if 1 < len(scored) <= 8 else [],
        "note": note,
        "facts": facts,
        "svg": figures.histogram(values, x="mean Dice of an image", label=label) if values else "",
        "uncounted": len([row for row in rows if row["mean_dice"] is None]),
    }


_KINDS = {"worst": "The worst", "median": "In the middle", "best": "The best"}


def pictures(folder: Folder) -> list[dict[str, Any]]:
    """The pictures by kind, each as a data URI with its legend."""
    found = []
    for kind, title in _KINDS.items():
        group = []
        for each in folder.evaluation.get("pictures") or ():
            source = folder.picture(str(each.get("file", ""))) if each.get("kind") == kind else ""
            if source:
                low, high = each.get("shown_as_black_and_white") or (0.0, 255.0)
                stretched = (low, high) != (0.0, 255.0)
                group.append({**each, "source": source, "low": low, "high": high, "stretched": stretched})
        if group:
            found.append({"title": title, "pictures": group})
    return found


def reliability(evaluation: Mapping) -> dict[str, Any] | None:
    """How often the predicted class is right, by its probability."""
    found = evaluation.get("reliability") or {}
    bins = found.get("bins") or []
    if not any(each["pixels"] for each in bins):
        return None
    sure = sum(each["pixels"] * (each["confidence"] - each["accuracy"]) for each in bins if each["pixels"])
    return {
        "bins": bins,
        "error": found["expected_calibration_error"],
        "overconfident": sure > 0,
        "svg": figures.reliability(bins, label="Reliability of the probabilities"),
    }


def objects(evaluation: Mapping) -> dict[str, Any] | None:
    """Objects of each class by their size."""
    found = evaluation.get("objects") or {}
    classes = {name: values for name, values in (found.get("classes") or {}).items() if values["objects"]}
    if not classes:
        return None
    drawn = dict(sorted(classes.items(), key=lambda item: -item[1]["objects"])[: figures.MOST_LINES])
    return {
        "classes": classes,
        "too_large": found.get("images_too_large", 0),
        "svg": figures.objects_by_size({k: v["by_size"] for k, v in drawn.items()}, label="Objects by their size"),
        "drawn": len(drawn),
    }


def terms(evaluation: Mapping) -> list[tuple[str, Any]]:
    """The values of a task other than segmentation, and the user's metrics of any task."""
    found = [("loss", evaluation["loss"])] if "terms" in evaluation else []
    found += list((evaluation.get("terms") or {}).items())
    return found + list((evaluation.get("metrics") or {}).items())


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; JSON has null for others."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
