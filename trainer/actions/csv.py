"""Scores as a CSV file: an example of an action of your own, and of use to spreadsheets.

Run(…, actions=[("evaluation", "trainer.actions.csv:write_scores")])
"""

from __future__ import annotations

import csv
import os

FILE = "scores.csv"


def write_scores(run, step: int) -> None:
    """Adds a row to scores.csv in the workdir, or replaces the row of the same step after a restart."""
    if not run.devices.chief or run.scores is None:
        return
    path = os.path.join(run.workdir, FILE)
    row = {"step": str(step), **{name: f"{value:.6g}" for name, value in run.scores.scalars("").items()}}
    rows = []
    if os.path.exists(path):
        with open(path, newline="", encoding="utf-8") as file:
            rows = [old for old in csv.DictReader(file) if int(old["step"]) < step]
    names = list(dict.fromkeys(name for each in [*rows, row] for name in each))
    beside = f"{path}.tmp"
    with open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows([*rows, row])
    os.replace(beside, path)
