"""A run's output: plain aligned text, the same on a terminal and in a log file.

Every function returns text and prints nothing; the caller decides who prints (only the chief).
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence

from configs.reading.line_wrapping import broken, columns
from configs.reading.line_wrapping import command as command_lines


def summary(title: str, rows: Sequence[tuple[str, str]], *, width: int | None = None) -> str:
    """A title and aligned `label   text` rows; long text is wrapped under itself.

    Args:
      title: one line.
      rows: (label, text) pairs; text may have several lines. A pair with empty text is left out.
      width: columns; None takes the terminal's.
    """
    width = columns() if width is None else width
    rows = [(label, text) for label, text in rows if text]
    column = max((len(label) for label, _ in rows), default=0)
    indent = " " * (column + 4)
    lines = [title]
    for label, text in rows:
        wrapped = [part for line in text.splitlines() for part in broken(line, width - len(indent)) or [""]]
        lines.append(f"  {label:<{column}}  {wrapped[0]}")
        lines += [indent + part for part in wrapped[1:]]
    return "\n".join(lines)


def opening(*, name: str, **about) -> str:
    """The summary before training: the config's name, and the arguments of `opening_rows`."""
    return summary(f"Gradline · {name}", opening_rows(**about))


def opening_rows(
    *,
    data: str,
    classes: Sequence[str],
    model: str,
    parameters: int,
    trainable_parameters: int,
    loss: str,
    devices: str,
    precision: str,
    steps: str,
    workdir: str,
    more: Sequence[tuple[str, str]] = (),
) -> list[tuple[str, str]]:
    """The summary before training, as (label, text) rows.

    Args:
      data: e.g. "nuclei: 150 training and 40 validation images".
      classes: names, by class id; empty if labels are not class ids.
      model: e.g. "unet, width 16, depth 4".
      parameters: numbers in the model's weights.
      trainable_parameters: how many of them are trained.
      loss: e.g. "dice + cross_entropy".
      devices: the chosen ones and why.
      precision: likewise.
      steps: e.g. "1,000 steps of 8 images (53.3 epochs)".
      workdir: where the run writes.
      more: further (label, text) rows.
    """
    frozen = parameters - trainable_parameters
    size = f"{parameters:,} parameters" + (f", {frozen:,} of them not trained" if frozen else "")
    return [
        ("data", data),
        *([("classes", f"{len(classes)}: {', '.join(classes)}")] if classes else []),
        ("model", f"{model}: {size}"),
        ("loss", loss),
        ("devices", devices),
        ("precision", precision),
        ("steps", steps),
        *more,
        ("workdir", workdir),
    ]


def number(value: float) -> str:
    """Four significant digits, in the form that aligns best: 0.4312, 12.34, 1.234e-05, nan."""
    value = float(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = 4 if abs(value) < 10 else 2 if abs(value) < 1000 else 0
        return f"{value:.{digits}f}"
    return f"{value:.3e}"


def duration(seconds: float) -> str:
    """Seconds as 0:07, 12:34, 1:02:03 or 2 d 03:04; "?" where unknown."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    if hours >= 24:
        return f"{hours // 24} d {hours % 24:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def progress(
    step: int,
    steps: int,
    *,
    loss: float,
    dice: float | None = None,
    rate: float | None = None,
    seconds_left: float | None = None,
    more: Mapping[str, float] | None = None,
) -> str:
    """One line of training: step, loss, Dice, images a second, time left.

    Args:
      step: steps done.
      steps: steps of the run.
      loss: mean over the steps since the last line.
      dice: likewise, of the training crops.
      rate: images a second.
      seconds_left: to the end of the run.
      more: further named numbers, e.g. {"loss scale": 32768}.
    """
    parts = [f"step {step:>{len(str(steps))}}/{steps}", f"loss {number(loss):>8}"]
    if dice is not None:
        parts.append(f"Dice {dice:.4f}")
    parts += [f"{name} {number(value)}" for name, value in (more or {}).items()]
    if rate is not None:
        parts.append(f"{rate:>7.1f} images/s")
    if seconds_left is not None:
        parts.append(f"{duration(seconds_left):>7} left")
    return "  ".join(parts)


def evaluated(step: int, steps: int, evaluation, *, seconds: float | None = None, best: bool = False) -> str:
    """One line of evaluation, aligned with `progress`."""
    parts = [f"eval {step:>{len(str(steps))}}/{steps}"]
    if not math.isnan(evaluation.loss):
        parts.append(f"loss {number(evaluation.loss):>8}")
    parts += [f"{name} {_score(value)}" for name, value in evaluation.in_line().items()]
    parts.append(f"{evaluation.images} images")
    if seconds is not None:
        parts.append(f"in {seconds:.1f} s")
    return "  ".join(parts) + ("  best so far" if best else "")


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    rule_before: int | None = None,
    dispensable: Sequence[str] = (),
) -> str:
    """Text in columns: the first aligned left, the others right, with a rule under the header and before a row.

    If it is wider than the terminal, the columns in `dispensable` are left out, and a last line says so; names that are
    too long even then are cut.
    """

    def fits(names):
        return 2 + sum(2 + max(len(row[column]) for row in (header, *rows)) for column in names) - 2 <= columns()

    kept, left_out = list(range(len(header))), []
    for name in dispensable:
        if not fits(kept):
            kept.remove(header.index(name))
            left_out.append(name)
    header, rows = [header[column] for column in kept], [[row[column] for column in kept] for row in rows]
    others = sum(2 + max(len(row[column]) for row in (header, *rows)) for column in range(1, len(header)))
    room = max(columns() - 2 - others, 8)
    rows = [[row[0] if len(row[0]) <= room else row[0][: room - 1] + "…", *row[1:]] for row in rows]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(row):
        numbers = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        return "  " + "  ".join([f"{row[0]:<{widths[0]}}", *numbers]).rstrip()

    rule = "  " + "  ".join("-" * width for width in widths)
    lines = [line(header), rule]
    for position, row in enumerate(rows):
        if position == rule_before:
            lines.append(rule)
        lines.append(line(row))
    if left_out:
        lines += broken(f"left out, too wide: {', '.join(left_out)}", columns(), first="  ", then="  ")
    return "\n".join(lines)


def _score(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def evaluation_table(evaluation) -> str:
    """Dice and IoU of each class, the number of images in each mean, and the means.

    Args:
      evaluation: a `trainer.evaluation.metrics.Evaluation`.
    """
    rows = [
        [
            name + ("" if name in evaluation.scored else " *"),
            _score(evaluation.dice[name]),
            _score(evaluation.iou[name]),
            _score(evaluation.dice_pooled[name]),
            _score(evaluation.iou_pooled[name]),
            str(evaluation.counted[name]),
        ]
        for name in evaluation.classes
    ]
    means = [evaluation.mean_dice, evaluation.mean_iou, evaluation.mean_dice_pooled, evaluation.mean_iou_pooled]
    rows.append(["mean", *map(_score, means), str(evaluation.images)])
    text = table(
        ["class", "Dice", "IoU", "Dice pooled", "IoU pooled", "images"],
        rows,
        rule_before=len(evaluation.classes),
        dispensable=("Dice pooled", "IoU pooled"),
    )
    accuracy = _score(evaluation.pixel_accuracy)
    notes = [f"pixel accuracy {accuracy}. Dice and IoU are means over images; pooled is of all pixels together."]
    if set(evaluation.scored) != set(evaluation.classes):
        notes.append("* not in the mean.")
    notes += [f"{name} {_score(value)}" for name, value in evaluation.metrics.items()]
    if before := evaluation.without_postprocessing:
        by_class = ", ".join(f"{name} {_score(before[f'dice/{name}'])}" for name in evaluation.scored)
        notes.append(f"Of the masks before post-processing: mean Dice {_score(before['mean_dice'])} ({by_class}).")
    return text + "".join(f"\n  {note}" for note in notes)


def volume_table(volumes) -> str:
    """Surfaces and millilitres of each class, to be printed below `evaluation_table`.

    Args:
      volumes: name -> `trainer.evaluation.volume_scores.VolumeScores`.
    """
    rows = [
        [
            name,
            _score(scores.dice),
            _score(scores.surface_dice),
            "-" if math.isnan(scores.hausdorff_95_mm) else f"{scores.hausdorff_95_mm:.2f}",
            str(scores.counted),
            str(scores.one_sided),
            f"{scores.volume_ml:.2f}",
            f"{scores.label_volume_ml:.2f}",
        ]
        for name, scores in volumes.items()
    ]
    heads = ["class", "Dice", "surface Dice", "HD95 mm", "cases", "one-sided", "ml", "label ml"]
    note = "at the images' own spacing, means over cases; one-sided cases have no distance, and surface Dice 0"
    return f"\n{table(heads, rows)}\n  {note}."


def command(*words: str, indent: int = 0) -> str:
    """Words quoted for a shell, in lines of the terminal's width; the text before the first is `indent` wide."""
    return "\n".join(command_lines(_quoted(words), columns() - indent, then="  "))


def _quoted(words: Sequence[str]) -> list[str]:
    return [word if word == "…" else shlex.quote(word) for word in words]


def closing(workdir: str, *, flags: bool = True) -> str:
    """The exact commands, or calls, for the next steps after training, as text; arguments as for `next_commands`."""
    rows = _next(workdir, flags)
    indent = 4 + max(map(len, rows))
    texts = [
        (label, words if isinstance(words, str) else command(*words, indent=indent)) for label, words in rows.items()
    ]
    return summary("What next:", texts, width=10_000)


def next_commands(workdir: str, *, flags: bool = True) -> list[tuple[str, str]]:
    """The exact commands, or calls, for the next steps after training: (purpose, command in one line).

    Args:
      workdir: the run's directory.
      flags: whether main.py started the run, and can do the rest; otherwise a script did.
    """
    rows = _next(workdir, flags)
    return [(label, words if isinstance(words, str) else " ".join(_quoted(words))) for label, words in rows.items()]


def _next(workdir: str, flags: bool) -> dict[str, list[str] | str]:
    """Purpose -> the words of a command, or a call in Python."""
    rows: dict[str, list[str] | str] = {"curves": ["tensorboard", "--logdir", workdir, "--host", "127.0.0.1"]}
    if not flags:
        return rows | {"predict": "run.predict(images)", "export": "run.export()", "evaluate": "run.evaluate()"}
    main = ["python", "main.py", f"--workdir={workdir}"]
    predict = [*main, "--mode=predict", "--input=path/to/images"]
    return rows | {"predict": predict, "export": [*main, "--mode=export"], "evaluate": [*main, "--mode=evaluate"]}
