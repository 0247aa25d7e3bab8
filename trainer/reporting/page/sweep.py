"""A sweep's report.html, made from sweep.json and the trials' folders."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.reporting import tags, terminal
from trainer.reporting.page import figures
from trainer.reporting.page.curves import Diagram
from trainer.reporting.page.figures import Line
from trainer.reporting.page.rendering import exact, render
from trainer.reporting.records import METRICS_FILE, read_metrics

SWEEP_FILE = "sweep.json"
# Curves that have a name and a colour of their own.
_NAMED = 5


def page(workdir: str) -> str:
    """The page's HTML.

    Raises:
      OSError, ValueError: sweep.json cannot be read.
    """
    with open(os.path.join(workdir, SWEEP_FILE), encoding="utf-8") as file:
        sweep = json.load(file)
    trials = sweep["trials"]
    best = next((trial for trial in trials if trial["number"] == sweep["best"]), None)
    return render(
        "sweep.html",
        workdir=workdir,
        sweep=sweep,
        paths=list(sweep["ranges"]),
        ranges=[(path, _range(range_)) for path, range_ in sweep["ranges"].items()],
        trials=[trial | {"score": _score(trial), "rungs": len(trial["scores"])} for trial in trials],
        best=best,
        tiles=_tiles(sweep, best),
        diagrams=_diagrams(workdir, sweep, best),
        commands=_commands(workdir, sweep, best),
    )


def _range(range_: Mapping) -> str:
    if "values" in range_:
        return ", ".join(range_["values"])
    return f"{range_['low']:g} to {range_['high']:g}" + (", logarithmic" if range_["log"] else "")


def _score(trial: Mapping) -> float | None:
    """The score at the last rung that a trial has reached."""
    return trial["scores"][max(trial["scores"], key=int)] if trial["scores"] else None


def _tiles(sweep: Mapping, best: Mapping | None) -> list[dict[str, Any]]:
    trials, found = sweep["trials"], []
    if best is not None:
        where = "at its end" if best["state"] == "ended" else f"at step {best['step']:,}"
        found.append({"value": exact(_score(best), 4), "text": f"{sweep['metric']} of trial {best['number']}, {where}"})
    found.append({"value": f"{len(trials)} of {sweep['wanted']}", "text": "trials begun"})
    found.append({"value": exact(sum(t["state"] == "ended" for t in trials)), "text": "trained to their end"})
    if failed := sum(t["state"] == "failed" for t in trials):
        found.append({"value": exact(failed), "text": "failed"})
    whole = sum(t["steps"][-1] for t in trials)
    share = f", {sweep['steps'] / whole:.0%} of what all to their end would take" if whole else ""
    found.append({"value": exact(sweep["steps"]), "text": f"steps trained{share}"})
    return found


def _diagrams(workdir: str, sweep: Mapping, best: Mapping | None) -> list[Diagram]:
    metric, trials = sweep["metric"], sweep["trials"]
    lines = [_line(workdir, trial, metric) for trial in trials]
    named, others = [line for line in lines[:_NAMED] if line.x], [line for line in lines[_NAMED:] if line.x]
    found = []
    if named:
        found.append(
            Diagram(
                f"{metric} by trial",
                figures.many_curves(named, others, x="step", y=metric, label="Curves by trial"),
                f"In colour the first {len(named)} of the table." if others else "",
            )
        )
    scored = [trial for trial in trials if trial["scores"].get("0") is not None]
    if len(scored) < 2:
        return found
    first = [trial["scores"]["0"] for trial in scored]
    marked = scored.index(best) if best in scored else None
    at = "at the end" if not sweep["pauses"] else "at the first pause, where all trials have trained the same share"
    border = sorted(first, reverse=sweep["highest_is_best"])[max(1, len(first) // sweep["reduction"]) - 1]
    bright = [score >= border if sweep["highest_is_best"] else score <= border for score in first]
    columns = [_column(path, range_, scored) for path, range_ in sweep["ranges"].items()]
    found.append(
        Diagram(
            "Settings together",
            figures.parallel(columns, bright, marked=marked, label="Settings together"),
            f"A line a trial. In blue the best 1 in {sweep['reduction']} {at}; the thick one is the best trial.",
        )
    )
    if sweep["importance"]:
        found.append(
            Diagram(
                "What mattered",
                figures.shares(list(sweep["importance"].items()), label="Importance", x="share of the importance"),
                f"PED-ANOVA of the scores {at}. Of {len(scored)} trials it is a hint, no measurement.",
            )
        )
    for path, range_ in sweep["ranges"].items():
        values = [_value(trial["settings"][path], range_) for trial in scored]
        drawing = figures.points(
            values, first, marked=marked, names=(path, metric), log=bool(range_.get("log")), label=path
        )
        found.append(Diagram(path, drawing, f"Each trial {at}; the ring is the best one."))
    return found


def _line(workdir: str, trial: Mapping, metric: str) -> Line:
    try:
        records = read_metrics(os.path.join(workdir, trial["folder"], METRICS_FILE))
    except OSError:
        records = []
    known = [r for r in records if r.get("kind") == tags.EVALUATION and r.get(metric) is not None]
    return Line(f"trial {trial['number']}", [r["step"] for r in known], [r[metric] for r in known])


def _value(text: str, range_: Mapping) -> float | str:
    return text if "values" in range_ else float(text)


def _column(path: str, range_: Mapping, trials: Sequence[Mapping]) -> tuple[str, list[float], str, str]:
    """The positions of the trials on the axis of a setting."""
    texts = [trial["settings"][path] for trial in trials]
    if "values" in range_:
        names = range_["values"]
        return path, [names.index(text) / (len(names) - 1) for text in texts], names[0], names[-1]
    low, high = float(range_["low"]), float(range_["high"])
    scale = math.log if range_["log"] else float
    places = [(scale(float(text)) - scale(low)) / (scale(high) - scale(low)) for text in texts]
    return path, places, f"{low:g}", f"{high:g}"


def _commands(workdir: str, sweep: Mapping, best: Mapping | None) -> list[tuple[str, str]]:
    if best is None:
        return []
    folder = os.path.join(workdir, best["folder"])
    found = terminal.next_commands(folder)
    if sweep["objects"]:
        # Made from objects, which exist only in the script that made them.
        return [found[0], ("in Python, with the same parts", "run = Run(found.config, workdir=found.workdir, …)")]
    recipe = ("python", "main.py", f"--config={os.path.join(folder, 'recipe.py')}")
    if best["state"] != "ended":
        found.append(("train it to its end", shlex.join((*recipe, f"--workdir={folder}"))))
    found.append(("these settings, another seed", shlex.join((*recipe, "--seed=1", "--workdir=runs/another"))))
    trials = os.path.join(workdir, "trial_")
    runs = [f"--runs={trials}{trial['number']:05}" for trial in sweep["trials"][:2] if trial["state"] == "ended"]
    if len(runs) == 2:
        compare = shlex.join(("python", "main.py", "--mode=compare", *runs))
        found.append(("is the best better than the second, or luck", compare))
    return [*found[:1], ("all trials in TensorBoard", f"tensorboard --logdir {shlex.quote(workdir)}"), *found[1:]]
