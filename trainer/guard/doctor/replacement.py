"""A change that helped, written into the user's own lines."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from ..words.base import Replacement
from .change import Change
from .output import layers_of
from .place import Source, node_of
from .program import Program

_INITIAL = {"kernel_initializer": "glorot_uniform", "recurrent_initializer": "orthogonal", "bias_initializer": "zeros"}


def replacement_of(source: Source, program: Program, change: Change) -> Replacement | None:
    """The lines that make the change; None where it is not a single edit of lines that were found.

    A change of several layers is written if their lines are next to each other. The result has to pass Python's own
    parser before it is shown.
    """
    edits = _edits(source, program, change)
    if not edits:
        return None
    first, last = min(node.lineno for node, _ in edits), max(node.end_lineno for node, _ in edits)
    if last - first > 12:
        return None
    lines = [linecache.getline(source.file, number).rstrip("\n") for number in range(first, last + 1)]
    for node, text in sorted(edits, key=lambda edit: (-edit[0].lineno, -edit[0].col_offset)):
        top, bottom = node.lineno - first, node.end_lineno - first
        start = len(lines[top].encode()[: node.col_offset].decode())
        end = len(lines[bottom].encode()[: node.end_col_offset].decode())
        lines[top : bottom + 1] = (lines[top][:start] + text + lines[bottom][end:]).split("\n")
    whole = [line.rstrip("\n") for line in linecache.getlines(source.file)]
    try:
        ast.parse("\n".join([*whole[: first - 1], *lines, *whole[last:]]))
    except SyntaxError:
        return None
    return Replacement(source.file, first, last, "\n".join(lines))


def _edits(source: Source, program: Program, change: Change) -> list[tuple[ast.AST, str]] | None:
    """(node, new text) of everything that a change needs; None if a part of it cannot be written."""
    edits: list[tuple[ast.AST, str]] = []
    options: dict[str, dict[str, Any]] = {name: dict(known) for name, known in change.layers.items()}
    for name in change.fresh:
        call = source.layers.get(name)
        written = {keyword.arg for keyword in call.node.keywords} if call else set()
        options.setdefault(name, {}).update({key: value for key, value in _INITIAL.items() if key in written})
    kinds = {layer.name: type(layer) for layer in layers_of(program.model)}
    for name, known in options.items():
        call = source.layers.get(name)
        if call is None or not known:
            return None
        edits.append((call.node, _with_arguments(source, call.node, kinds[name], known)))
    if change.loss is not None:
        node = _value(node_of(source, program, "loss"))
        if not isinstance(change.loss, str) or node is None:
            return None
        flag = [k for k in getattr(node, "keywords", ()) if k.arg == "from_logits"]
        edits.append((flag[0].value, "False") if flag else (node, repr(change.loss).replace("'", '"')))
    if change.optimizer:
        node = node_of(source, program, "optimizer")
        if not isinstance(node, ast.Call) or isinstance(program.optimizer, str):
            return None
        edits.append((node, _with_arguments(source, node, type(program.optimizer), change.optimizer)))
    for name in ("batch_size", "epochs"):
        wanted = getattr(change, name)
        node = _value(node_of(source, program, name)) if wanted else None
        if wanted and wanted != getattr(program, name):
            if not isinstance(node, ast.Constant):
                return None
            edits.append((node, str(wanted)))
    for name, wanted, held in (("x", change.scale_x, program.x), ("y", change.scale_y, program.y)):
        if wanted:
            node = node_of(source, program, name)
            target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
            if not isinstance(target, ast.Name) or keras.tree.is_nested(held):
                return None
            edits.append((node, f"{_text(source, node)}\n{' ' * node.col_offset}{_scaled(target.id, np.ndim(held))}"))
    return None if change.balanced else edits


def _scaled(name: str, rank: int) -> str:
    axes = "axis=0" if rank <= 2 else f"axis={tuple(range(rank - 1))}"
    return f"{name} = ({name} - {name}.mean({axes})) / {name}.std({axes})"


def _with_arguments(source: Source, call: ast.Call, kind: type, options: Iterable) -> str:
    """A call with some of its arguments replaced; new ones come last."""
    try:
        order = list(inspect.signature(kind.__init__).parameters)[1:]
    except (TypeError, ValueError):
        order = []
    written = {keyword.arg: keyword.value for keyword in call.keywords}
    written.update({order[i]: value for i, value in enumerate(call.args) if i < len(order)})
    text = _text(source, call)
    added = [f"{name}={_literal(value)}" for name, value in dict(options).items() if name not in written]
    places = [(written[name], _literal(value)) for name, value in dict(options).items() if name in written]
    for node, new in sorted(places, key=lambda place: (-place[0].lineno, -place[0].col_offset)):
        old = _text(source, node)
        at = _offset(source, call, node)
        text = text[:at] + new + text[at + len(old) :]
    if added:
        inside = text[:-1].rstrip()
        comma = "" if inside.endswith(("(", ",")) else ", "
        text = f"{inside}{comma}{' ' if inside.endswith(',') else ''}{', '.join(added)})"
    return text


def _offset(source: Source, outer: ast.AST, inner: ast.AST) -> int:
    """How many characters after the start of one node another begins."""
    whole = "".join(linecache.getlines(source.file)).encode().splitlines(keepends=True)
    before = b"".join(whole[: inner.lineno - 1]) + whole[inner.lineno - 1][: inner.col_offset]
    start = b"".join(whole[: outer.lineno - 1]) + whole[outer.lineno - 1][: outer.col_offset]
    return len(before.decode()) - len(start.decode())


def _text(source: Source, node: ast.AST) -> str:
    return ast.get_source_segment("".join(linecache.getlines(source.file)), node) or ""


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else repr(value)


def _value(node: ast.AST | None) -> ast.AST | None:
    return node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else node
