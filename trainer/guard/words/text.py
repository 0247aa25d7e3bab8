"""A report as text for a log or a terminal, and as markdown for TensorBoard."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .block import advice, fenced, painter, paragraphs, place, window, wrap
from .causes import CAUSES
from .finding import Finding, Report
from .sentences import explain_cause
from .source import expression_columns

MOST_LAYERS = 8  # longer lists of layers are cut short in text; to_dict() has them all
MOST_LINKS = 8
_MOST_PATTERNS = 6


def as_text(report: Report, color: bool = False, width: int = 110) -> str:
    """The count, then a block for each cause; with ANSI colours if `color`."""
    paint = painter(color)
    blocks = [paint(wrap(headline(report), width), "good" if report.ok else "bad")]
    for number, finding in enumerate(report.findings, 1):
        blocks.append(_block(finding, number, report, paint, width))
    if report.allowed:
        blocks.append(wrap(f"Allowed to have no gradient: {_grouped(report.allowed, '; ')}", width))
    blocks += [wrap(note, width) for note in report.notes]
    return "\n\n".join(blocks)


def as_markdown(report: Report) -> str:
    """The same content as markdown."""
    parts = [f"**{headline(report)}**"]
    for number, finding in enumerate(report.findings, 1):
        parts.append(f"### {number}. {explain_cause(finding)}")
        if finding.variables:
            parts.append("\n".join(f"* `{line}`" for line in grouped_by_layer(finding.variables)))
        if finding.detail:
            parts.append(finding.detail)
        if finding.file and finding.line:
            parts.append(f"`{finding.file}:{finding.line}`")
            parts.append(fenced([line for line, _ in window(finding, _columns(finding))]))
        if finding.chain:
            parts.append(f"From there to the loss: {_chain(finding)}")
        for text, is_code in paragraphs(finding.advice):
            parts.append(fenced(text.splitlines()) if is_code else text)
        hint = allow_hint(finding, report)
        if hint:
            parts.append(f"If these are meant to have no gradient: `{hint}`")
    if report.allowed:
        parts.append(f"Allowed to have no gradient: {', '.join(f'`{path}`' for path in report.allowed)}")
    return "\n\n".join([*parts, *report.notes])


def headline(report: Report) -> str:
    """The counts, in a sentence for each kind."""
    if report.ok:
        if report.allowed:
            reached = report.variables_total - len(report.allowed)
            return f"{reached} of {report.variables_total} trainable variables get a gradient; the others need none."
        return f"All {report.variables_total} trainable variables get a gradient from this loss."
    total = report.variables_total
    sentences = []
    for kind, verb in (
        ("missing", "{get} no gradient from this loss"),
        ("zero", "{get} a gradient that is exactly zero"),
        ("nonfinite", "{get} a gradient that is NaN or infinite"),
        ("wrong", "{get} a gradient that is not the derivative of the loss"),
    ):
        count = len(report.affected(kind))
        if count:
            ending = verb.format(get="get" if total != 1 else "gets")
            sentences.append(f"{count} of {total} trainable {_plural('variable', total)} {ending}")
    stray = len(report.affected("untracked"))
    if stray:
        is_read, it = ("is", "its") if stray == 1 else ("are", "their")
        sentences.append(
            f"{stray} trainable {_plural('variable', stray)} {is_read} read by the loss and {is_read} not in the list "
            f"of variables, so {'it keeps' if stray == 1 else 'they keep'} {it} first "
            f"{'value' if stray == 1 else 'values'} for ever"
        )
    if not total:
        empty = "The list of variables is empty: everything is frozen, or it was made before the model was built"
        sentences.insert(0, empty)
    if not sentences and any(finding.kind == "nonfinite" for finding in report.findings):
        sentences.append("The loss is NaN or infinite, although every gradient is finite")
    if not sentences:
        sentences.append("This loss cannot be differentiated")
    return ". ".join(sentences) + "."


def grouped_by_layer(paths: Sequence[str], most: int = MOST_LAYERS) -> list[str]:
    """`encoder/conv: kernel, bias`, a line for each layer; layers beyond `most` as a count."""
    layers: dict[str, list[str]] = {}
    for path in paths:
        layer, _, name = path.rpartition("/")
        layers.setdefault(layer, []).append(name)
    lines = [f"{layer}: {', '.join(names)}" if layer else ", ".join(names) for layer, names in layers.items()]
    if len(lines) <= most + 1:  # "and 1 more" would be as long as the one line
        return lines
    rest = list(layers.values())[most:]
    count = sum(map(len, rest))
    return [*lines[:most], f"… and {len(rest)} more layers ({count} {_plural('variable', count)})"]


def allow_hint(finding: Finding, report: Report) -> str | None:
    """The code or the flag that accepts only these variables; None where the finding cannot be intended."""
    if not CAUSES[finding.cause].may_be_meant or not finding.variables or finding.kind in ("untracked", "nonfinite"):
        return None
    if len(finding.variables) >= report.variables_total:
        return None  # a loss that no variable learns from is never intended
    pattern = allow_pattern(finding.variables, report.listed)
    return report.allow_form.format(pattern) if pattern else None


def allow_pattern(paths: Sequence[str], listed: Sequence[str]) -> str | None:
    """A regular expression that matches only these of the listed paths: `pooler/.*|gate`.

    A folder stands for all paths in it where all are meant and all paths are known. None where two variables share a
    path and only one of them is meant, or where it would be too long to read.
    """
    meant = set(paths)
    if any(listed.count(path) > paths.count(path) for path in meant):
        return None
    others = [path for path in listed if path not in meant]
    by_folder: dict[str, dict[str, None]] = {}
    for path in paths:
        names = path.split("/")
        folders = ["/".join(names[:depth]) for depth in range(1, len(names))]
        whole = next((f for f in folders if listed and not any(other.startswith(f + "/") for other in others)), None)
        folder, name = (whole, ".*") if whole is not None else ("/".join(names[:-1]), _escaped(names[-1]))
        by_folder.setdefault(folder, {})[name] = None
    parts = []
    for folder, names in by_folder.items():
        ending = "|".join(names)
        ending = f"({ending})" if folder and len(names) > 1 else ending
        parts.append(f"{_escaped(folder)}/{ending}" if folder else ending)
    return "|".join(parts) if len(parts) <= _MOST_PATTERNS else None


def _escaped(path: str) -> str:
    return re.sub(r"\\([-/: ])", r"\1", re.escape(path))


def _block(finding: Finding, number: int, report: Report, paint, width: int) -> str:
    count = len(finding.variables)
    title = explain_cause(finding) + (f" — {count} {_plural('variable', count)}:" if count else "")
    lines = [paint(wrap(f"{number}. {title}", width, hanging=3), "strong")]
    lines += [f"     {line}" for line in grouped_by_layer(finding.variables)]
    if finding.detail:
        lines += ["", wrap(finding.detail, width, indent=3)]
    lines += place(finding, _columns(finding) if finding.file and finding.line else None, paint)
    if finding.chain:
        lines += ["", wrap(f"From there to the loss: {_chain(finding)}", width, indent=3)]
    lines += advice(finding.advice, paint, width)
    hint = allow_hint(finding, report)
    if hint:
        lines += ["", wrap("If these are meant to have no gradient, say so:", width, indent=3), f"     {hint}"]
    return "\n".join(lines)


def _columns(finding: Finding) -> tuple[int, int] | None:
    return finding.columns or expression_columns(finding.file, finding.line, finding.op_type)


def _chain(finding: Finding) -> str:
    links = [str(link) for link in finding.chain]
    if len(links) > MOST_LINKS:
        half = MOST_LINKS // 2
        links = [*links[:half], f"… {len(links) - MOST_LINKS} more …", *links[-half:]]
    shown, previous = [], None
    for link in links:  # the place is written once for all ops of a line
        place = link[link.find("(") :] if "(" in link else None
        shown.append(link[: link.find("(")].rstrip() if place and place == previous else link)
        previous = place or previous
    return " -> ".join([*shown, "loss"])


def _grouped(paths: Sequence[str], between: str) -> str:
    return between.join(grouped_by_layer(paths))


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
