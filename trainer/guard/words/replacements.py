"""Advice that has been run: the user's function with some lines replaced, on the same inputs, before they are shown.

A replacement is shown only if the forward pass runs with it, the expression keeps its shape, and the variables of the
finding then get gradients that are finite and not all zero. For the trial the file is compiled with its new lines, and
the code of the live functions is replaced for a moment; nothing is imported or run again.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from ..capture.answer import Entry
from ..capture.state import all_variables
from .base import Replacement
from .code_changes import Change, changes
from .finding import Finding
from .module_names import ModuleNames, metrics_of
from .remedies import advise, tried
from .softened import Edit
from .source import parsed, source_text
from .trial import Trials, functions_of, trial, with_edits

_TRIALS = 14  # a finding
_SECONDS = 10.0  # time after which a large model gets no more trials


def with_replacements(findings: Sequence[Finding], forward_loss: Callable, entries: Sequence[Entry]) -> list[Finding]:
    """The findings, each with a replacement where one helped."""
    deadline, variables = time.perf_counter() + _SECONDS, all_variables()
    done: dict[tuple, _Helping | None] = {}
    for finding in findings:
        if _place(finding) not in done and finding.file and finding.line and finding.variables:
            trials = Trials(forward_loss, entries, variables, deadline, finding.kind == "zero")
            try:
                done[_place(finding)] = _search(finding, trials)
            except Exception as error:  # advice matters less than the finding; but its failure is not hidden
                warnings.warn(f"no replacement was looked for at line {finding.line}: {error!r}", stacklevel=2)
    helping = [found for found in done.values() if found is not None]
    found = []
    for finding in findings:
        best = done.get(_place(finding)) or _elsewhere(finding, helping, forward_loss, entries, variables)
        found.append(_offering(finding, best.replacement) if best is not None else finding)
    return found


def _place(finding: Finding) -> tuple:
    return finding.file, finding.line, finding.op_type, finding.cause


def _offering(finding: Finding, replacement: Replacement) -> Finding:
    """The finding with a replacement, behind the finding's own advice."""
    own = finding.advice if finding.advice != advise(finding) else ""
    offering = dataclasses.replace(finding, replacement=replacement, advice="")
    return dataclasses.replace(offering, advice=f"{own}\n\n{tried(offering)}") if own else offering


def _elsewhere(finding: Finding, helping: Sequence[_Helping], forward_loss, entries, variables) -> _Helping | None:
    """A change that helped another finding, if it helps this one's variables as well: a dead layer before it."""
    mine = [entry for entry in entries if entry.path in finding.variables]
    if not mine or finding.op_type is None:
        return None
    trials = Trials(forward_loss, entries, variables, 0.0, finding.kind == "zero")
    for other in helping:
        source = source_text(other.replacement.file)
        if trial(other.replacement.file, source, other.change, other.functions, trials, mine)[0]:
            return other
    return None


@dataclasses.dataclass(frozen=True)
class _Helping:
    """A change that helped, as it is offered, and what its trials need."""

    change: Change
    replacement: Replacement
    functions: Sequence[FunctionType]


def _search(finding: Finding, trials: Trials) -> _Helping | None:
    tree, source = parsed(finding.file), source_text(finding.file)
    if tree is None or not source:
        return None
    functions = functions_of(finding.file)
    if not functions:
        return None
    mine = [entry for entry in trials.entries if entry.path in finding.variables]
    written = ModuleNames(functions[0].__globals__)
    shapes: dict[int, Any] = {}
    metrics = metrics_of(functions)
    for change in itertools.islice(changes(finding, tree, source, metrics), _TRIALS):
        if time.perf_counter() > trials.deadline:
            return None
        change = change if change.name or change.layer else _fitted(change, written)
        if change is None:
            continue
        node = change.shown.node if change.shown else None
        if node is not None and id(node) not in shapes:
            same = Edit(node, ast.get_source_segment(source, node))
            old = dataclasses.replace(change, edits=(same,), shown=same)
            shapes[id(node)] = trial(finding.file, source, old, functions, trials, mine)[1]
        helps, shape = trial(finding.file, source, change, functions, trials, mine)
        if helps and (node is None or shape == shapes[id(node)]):
            first, last = change.first.lineno, change.last.end_lineno
            lines = with_edits(source, change, change.edits).splitlines()
            grown = len(lines) - len(source.splitlines())
            new = Replacement(finding.file, first, last, "\n".join(lines[first - 1 : last + grown]))
            return _Helping(change, new, functions)
    return None


def _fitted(change: Change, written: ModuleNames) -> Change | None:
    """The change with the module's names."""
    if any(isinstance(edit.node, ast.stmt) for edit in change.edits):
        return change if written.has_tensorflow or "tf." not in change.edits[0].code else None
    pairs = [(edit, written.fitting(edit.code)) for edit in change.edits]
    if any(code is None for _, code in pairs):
        return None
    edits = {id(edit): Edit(edit.node, code) for edit, code in pairs}
    shown = edits[id(change.shown)] if change.shown else None
    return dataclasses.replace(change, edits=tuple(edits.values()), shown=shown)
