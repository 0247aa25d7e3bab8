"""Weights that became tensors once: `self.kernel = self.mu + …` in build(), `self.gate = self.gate * 0.9`.

The tape sees a constant where the variable was. Which variable it came from is read from the source: the name that the
forward pass uses, the line that assigned it, and the variables on that line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

import tensorflow as tf

from ..capture.answer import Entry
from ..capture.frames import Site, is_user_file
from ..capture.recorder import Recording
from ..capture.trace import differentiable
from ..search.lineage import Lineage
from ..words.finding import Finding
from ..words.source import parsed
from .cut import place_fields

_MAKERS = frozenset({"Variable", "add_weight", "add_variable"})
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)


def derived_findings(recording: Recording, lineage: Lineage, unread: Sequence[Entry]) -> list[Finding]:
    """Findings for variables replaced by a tensor from before this forward pass."""
    by_line: dict[tuple[str, int], tuple[str, dict[str, None]]] = {}
    taken = {entry.path for entry in unread if entry.is_tensor}
    explained: set[tuple[str, str]] = set()  # a variable, and the container of an item that is known already
    for file, tree, name in _old_names(recording, lineage):
        for assignment in _assignments(tree, name):
            if _makes_a_variable(assignment.value):
                continue
            for entry in unread:
                if entry.path in taken or (entry.path, name) in explained:
                    continue
                stands = any(_stands_for(tree, part, entry) for part in _loaded(assignment))
                if stands or _is_update(name, assignment) and (len(unread) == 1 or _last_name(entry) in name):
                    place = by_line.setdefault((file, assignment.lineno), (name, {}))
                    place[1][entry.path] = None
                    explained.add((entry.path, name.partition("[")[0]) if "[" in name else ("", ""))
    findings = []
    for (file, line), (name, paths) in by_line.items():
        them = "it" if len(paths) == 1 else "them"
        detail = (
            f"`{name}` is computed from {them} here, apart from the tape; the loss uses that tensor, and to the "
            "tape it is a constant."
        )
        place = place_fields(Site(file, line))
        findings.append(Finding("missing", "outside_tape", list(paths), detail=detail, **place))
    return findings


def _old_names(recording: Recording, lineage: Lineage) -> Iterator[tuple[str, ast.AST, str]]:
    """The names on the lines where a tensor from before this run enters the loss."""
    trace, seen = recording.trace, set()
    for op in trace.ops:
        if not any(result in lineage.distance for result in op.results) or op.site is None:
            continue
        old = [
            t
            for s, t in zip(op.sources, op.inputs, strict=True)
            if 0 <= s < trace.started
            and s not in trace.producers
            and s not in trace.links
            and differentiable(t)
            and t.dtype not in (tf.resource, tf.variant)
        ]
        place = (op.site.file, op.site.line)
        tree = parsed(op.site.file) if old and place not in seen and is_user_file(op.site.file) else None
        seen.add(place) if old else None
        statements = (
            [
                node
                for node in ast.walk(tree)
                if isinstance(node, _SIMPLE) and node.lineno <= op.site.line <= node.end_lineno
            ]
            if tree
            else []
        )
        if statements:
            for name in _loaded(min(statements, key=lambda node: node.end_lineno - node.lineno)):
                yield op.site.file, tree, name


def _loaded(part: ast.AST) -> list[str]:
    """The names, attributes and items that a piece of code reads: `weights['w']`, `w`, `self.mu`."""
    nodes = [node for node in ast.walk(part) if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript))]
    return list(dict.fromkeys(ast.unparse(node) for node in nodes if isinstance(node.ctx, ast.Load)))


def _assignments(tree: ast.AST, name: str) -> list[ast.Assign]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets)
    ]


def _is_update(name: str, assignment: ast.Assign) -> bool:
    """`w["a"] = w["a"] - rate * g`: an item that is computed from itself, as in a step of gradient descent."""
    return "[" in name and name in _loaded(assignment.value)


def _makes_a_variable(value: ast.expr) -> bool:
    called = value.func if isinstance(value, ast.Call) else None
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) in _MAKERS


def _stands_for(tree: ast.AST, name: str, entry: Entry) -> bool:
    """Whether a name in the source is the variable's, by its own name or by the one given to it."""
    wanted = _last_name(entry)
    made = [node.value for node in _assignments(tree, name) if _makes_a_variable(node.value)]
    named = {
        keyword.value.value
        for call in made
        for keyword in call.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }
    return wanted in named or (bool(made) and name.rpartition(".")[2] == wanted)


def _last_name(entry: Entry) -> str:
    """`w` of `layer/w` and of `w:0`."""
    return entry.path.rpartition("/")[2].partition(":")[0]
