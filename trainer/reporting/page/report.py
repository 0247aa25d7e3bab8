"""report.html: a run's folder as a page, made only from its files, so that it can be rebuilt at any time."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

from trainer.errors import EXIT_FAILED, UserError
from trainer.reporting import clock, tags, terminal
from trainer.reporting.page import curves, figures, scores, sweep
from trainer.reporting.page.folder import Folder, read_folder
from trainer.reporting.page.rendering import MOST_BYTES, exact, render
from trainer.reporting.records import write_whole

REPORT_FILE = "report.html"

_PARTS = {
    clock.STEPS: "training steps",
    clock.INPUT: "waiting for input",
    clock.STARTING: "first call: compiling",
    clock.EVALUATION: "evaluation",
    clock.SAVING: "saving",
    clock.PAGE: "writing this page",
    clock.OTHER: "other",
}


def write_report(workdir: str) -> str:
    """Writes report.html in the folder of a run, or of a sweep; returns its path.

    Raises:
      UserError: the folder is neither.
      OSError: it cannot be written.
    """
    path = os.path.join(workdir, REPORT_FILE)
    if os.path.exists(os.path.join(workdir, sweep.SWEEP_FILE)):
        write_whole(path, sweep.page(workdir).encode())
        return path
    folder = read_folder(workdir)
    if not (folder.config or folder.train or folder.evaluation):
        problems = "".join(f"\n  {problem}" for problem in folder.problems)
        raise UserError(f"{workdir}: there is no run in this folder (no config.json).{problems}", exit_code=EXIT_FAILED)
    write_whole(path, page(folder).encode())
    return path


def page(folder: Folder) -> str:
    """The page's HTML, below `MOST_BYTES`: with fewer pictures if they are too large, and a note about it."""
    content = _content(folder)
    text = render("report.html", **content)
    pictures = content["pictures"]
    while len(text.encode()) > MOST_BYTES and pictures:
        largest = max(pictures, key=lambda group: len(group["pictures"]))
        largest["pictures"].pop()
        pictures[:] = [group for group in pictures if group["pictures"]]
        note = "Some pictures are left out here, to keep the page small; they are in the folder pictures/."
        content["problems"] = [*dict.fromkeys([*content["problems"], note])]
        text = render("report.html", **content)
    return text


def _content(folder: Folder) -> dict[str, Any]:
    facts, evaluation = folder.description, folder.evaluation
    steps, epochs = facts.get("steps") or 0, facts.get("epochs")
    found = {
        "folder": folder,
        "status": _status(folder),
        "problems": list(folder.problems),
        "tiles": _tiles(folder),
        "about": [row for row in facts.get("about", ())] + [("versions", _versions(facts))],
        "crops": folder.crops(),
        "changed": folder.changed(),
        "diagrams": curves.diagrams(
            folder.train, folder.evaluations, epochs_a_step=epochs / steps if steps and epochs else 0.0
        ),
        "tables": curves.tables(folder.train, folder.evaluations),
        "skipped": folder.train[-1].get(tags.SKIPPED) if folder.train else None,
        "evaluation": evaluation,
        "which": _which(folder),
        "classes": scores.by_class(evaluation),
        "terms": scores.terms(evaluation),
        "confusion": scores.confusion(evaluation),
        "images": scores.images(evaluation),
        "pictures": scores.pictures(folder),
        "reliability": scores.reliability(evaluation),
        "objects": scores.objects(evaluation),
        "guard": _guard(folder),
        "time": _time(facts),
        "commands": _commands(folder),
        "written": facts.get("written", ""),
    }
    found["about"] = [row for row in found["about"] if row[1]]
    titles = {
        "run": "What was run",
        "diagrams": "Curves",
        "evaluation": "Scores",
        "confusion": "Confusion",
        "images": "By image",
        "pictures": "Pictures",
        "reliability": "Reliability",
        "objects": "Objects",
        "guard": "Guard",
        "time": "Time",
        "commands": "What next",
    }
    ids = {"diagrams": "curves", "evaluation": "scores", "commands": "next"}
    found["contents"] = [(ids.get(name, name), title) for name, title in titles.items() if name == "run" or found[name]]
    return found


def _versions(facts: Mapping) -> str:
    return ", ".join(f"{name} {version}" for name, version in (facts.get("versions") or {}).items())


def _last_step(folder: Folder) -> int:
    steps = [record["step"] for record in (*folder.train, *folder.evaluations)]
    return max([folder.description.get("step") or 0, *steps])


def _status(folder: Folder) -> str:
    facts = folder.description
    step, total = _last_step(folder), facts.get("steps")
    where = f"Step {step:,} of {total:,}" if total else f"Step {step:,}"
    if not facts:
        return f"{where}. There is no run.json in the folder: the run was stopped before its first evaluation."
    return f"{where}, {facts['ended']}." if facts.get("ended") else f"{where}, going on when this was written."


def _tiles(folder: Folder) -> list[dict[str, Any]]:
    evaluation, facts = folder.evaluation, folder.description
    metric, found = facts.get("metric") or "mean_dice", []
    values = {**evaluation, **(evaluation.get("terms") or {}), **(evaluation.get("metrics") or {})}
    if scores.is_number(values.get(metric)):
        found.append({"value": exact(values[metric], 4), "text": f"{metric}, at step {evaluation['step']:,}"})
    best = facts.get("best_score")
    if scores.is_number(best) and facts.get("best_step") != evaluation.get("step"):
        found.append({"value": exact(best, 4), "text": f"best {metric}, at step {facts['best_step']:,}"})
    if metric != "mean_dice" and scores.is_number(evaluation.get("mean_dice")):
        found.append({"value": exact(evaluation["mean_dice"], 4), "text": "mean_dice"})
    if scores.is_number(evaluation.get("loss")) and metric != "loss":
        found.append({"value": exact(evaluation["loss"]), "text": "validation loss"})
    if facts.get("seconds"):
        parts = facts["seconds"]
        trained = sum(parts.get(name, 0.0) for name in (clock.STEPS, clock.INPUT, clock.STARTING))
        found.append({"value": terminal.duration(trained), "text": "of training"})
    return found


def _which(folder: Folder) -> str:
    step, best = folder.evaluation.get("step"), folder.description.get("best_step")
    if best is None or step is None:
        return ""
    if step == best:
        return ": the best so far"
    return f"; the best {folder.description.get('metric')} was at step {best:,}, and its checkpoint is kept apart"


def _guard(folder: Folder) -> dict[str, Any] | None:
    about = folder.description.get("guard") or {}
    seen: dict[str, Mapping] = {}
    for note in folder.guard:
        # The same warning appears again when the step is compiled again.
        seen.setdefault(note.get("text", ""), note)
    if not about and not seen:
        return None
    summary = []
    if about.get("missing") == "off":
        summary.append("It was switched off (guard.missing=off): nobody checked whether every variable has a gradient.")
    elif about:
        summary.append(
            f"{about['variables']:,} trainable variables were checked while the step was compiled"
            + ("." if seen else ": each has a gradient, and there was nothing to say.")
        )
    if about.get("steps_skipped"):
        summary.append(f"{about['steps_skipped']:,} steps were skipped because a gradient was not finite.")
    if about.get("returns"):
        summary.append(f"The run went back to a checkpoint {about['returns']} times.")
    return {"summary": " ".join(summary), "notes": list(seen.values())}


def _time(facts: Mapping) -> dict[str, Any] | None:
    seconds = {name: value for name, value in (facts.get("seconds") or {}).items() if value > 0}
    total = sum(seconds.values())
    if not total:
        return None
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    parts = [{"name": _PARTS.get(name, name), "seconds": value, "share": value / total} for name, value in ordered]
    drawing = figures.shares([(part["name"], part["seconds"]) for part in parts], label="Seconds by part")
    return {"parts": parts, "total": total, "share": seconds.get(clock.STEPS, 0.0) / total, "svg": drawing}


def _commands(folder: Folder) -> list[tuple[str, str]]:
    facts, main = folder.description, ("python", "main.py")
    here = f"--workdir={folder.path}"
    objects = bool(facts.get("objects"))
    found = terminal.next_commands(folder.path, flags=not objects)
    if objects:
        return found
    if facts.get("ended"):
        longer = ("--workdir=runs/longer", f"--config.checkpoint.warm_start={folder.path}")
        found.append(("a longer run from these weights", shlex.join((*main, *longer))))
    another = shlex.join((*main, "--mode=compare", f"--runs={folder.path}", "--runs=ANOTHER"))
    found.append(("compare with another run", another))
    found.append(("write this page anew", shlex.join((*main, "--mode=report", here))))
    return found
