"""A change of the user's code, tried: the code of live functions is exchanged for a moment, and the loss run again.

The file is compiled with its new lines; nothing is imported or run again.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

import tensorflow as tf

from ..capture.answer import Answer, Entry, is_finite, is_tiny, is_zero, plain_run
from ..capture.state import preserved
from .candidates import bracketed
from .code_changes import PROBE, SHARE, Change
from .softened import Edit


@dataclasses.dataclass(frozen=True)
class Trials:
    """What all trials of a report have in common."""

    forward_loss: Callable
    entries: Sequence[Entry]
    variables: Sequence[tf.Variable]
    deadline: float
    strict: bool = False


def with_edits(source: str, change: Change, edits: Sequence[Edit]) -> str:
    """The whole file with some expressions replaced; brackets where an operator beside one needs them."""
    loose = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Attribute, ast.Subscript)
    for edit in sorted(edits, key=lambda edit: (-edit.node.lineno, -edit.node.col_offset)):
        node, lines = edit.node, source.splitlines(keepends=True)
        around = [change.first, change.last]
        beside = any(
            child is node
            for statement in around
            for part in ast.walk(statement)
            if isinstance(part, loose)
            for child in ast.iter_child_nodes(part)
        )
        code = bracketed(edit.code) if beside else edit.code
        first, last = lines[node.lineno - 1].encode(), lines[node.end_lineno - 1].encode()
        joined = first[: node.col_offset] + code.encode() + last[node.end_col_offset :]
        source = "".join([*lines[: node.lineno - 1], joined.decode(), *lines[node.end_lineno :]])
    return source


def trial(file: str, source: str, change: Change, functions, trials: Trials, mine) -> tuple[bool, Any]:
    """Whether the change helps the variables, and the shapes that the expression had."""
    shapes: list[tuple] = []
    outside: list[bool] = []

    def share(value, *kept):
        if not change.share:
            return value
        outside.append(bool(tf.reduce_any((value < 0) | (value > 1))))
        return value

    def probe(value, *kept):
        shapes.append(tuple(value.shape) if hasattr(value, "shape") else ())
        return share(value) if change.share and change.shown is change.edits[0] and value.dtype.is_floating else value

    def run() -> Any:
        return plain_run(lambda: tf.autograph.experimental.do_not_convert(trials.forward_loss)(), mine)

    if change.layer is not None:
        with preserved(trials.variables), change.layer.made(), _eagerly():
            return _helps(run(), trials.strict), None
    try:
        new = with_edits(source, change, [change.probed(edit) for edit in change.edits])
        pairs = _codes(compile(source, file, "exec", dont_inherit=True), compile(new, file, "exec", dont_inherit=True))
    except (SyntaxError, ValueError):
        return False, None
    span = (min(edit.node.lineno for edit in change.edits), max(edit.node.end_lineno for edit in change.edits))
    with _exchanged(functions, pairs, span, probe, share) as done, preserved(trials.variables), _eagerly():
        if not done:
            return False, None
        answer = run()
    good = _helps(answer, trials.strict) and not any(outside)
    return good and (change.shown is None or bool(shapes)), shapes or None


def _helps(answer: Answer, strict: bool) -> bool:
    """Whether the loss is a finite number, and all gradients are finite and not all of them zero (or tiny)."""
    if answer.error is not None or not tf.is_tensor(answer.loss) or not is_finite(answer.loss):
        return False
    gradients = answer.gradients
    is_nothing = is_tiny if strict else is_zero
    return all(g is not None and is_finite(g) for g in gradients) and not all(is_nothing(g) for g in gradients)


def functions_of(file: str) -> list[FunctionType]:
    """Live functions of a file: inner ones, and those of its module, which `gc.freeze` hides from the collector."""
    modules = [module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == file]
    outer = [thing for module in modules for thing in vars(module).values()]
    outer += [thing for kind in outer if isinstance(kind, type) for thing in vars(kind).values()]
    found = {id(thing): thing for thing in (*gc.get_objects(), *outer) if type(thing) is FunctionType}
    return [function for function in found.values() if function.__code__.co_filename == file]


Key = tuple[str, int, bytes]


def _codes(old: CodeType, new: CodeType) -> dict[Key, CodeType]:
    """The new code of each function of a file, by the name, line and bytes of the old one."""
    pairs = {(old.co_name, old.co_firstlineno, old.co_code): new}
    inner = [[part for part in code.co_consts if isinstance(part, CodeType)] for code in (old, new)]
    for before in inner[0]:
        same = [part for part in inner[0] if part.co_name == before.co_name]
        after = [part for part in inner[1] if part.co_name == before.co_name]
        if len(same) == len(after):
            pairs |= _codes(before, after[same.index(before)])
    return pairs


@contextlib.contextmanager
def _exchanged(functions, pairs: dict[Key, CodeType], span: tuple[int, int], probe, share) -> Iterator[bool]:
    """For a while, the functions around some lines run their new code; yields whether there was any."""
    changed, scopes = [], []
    try:
        for function in functions:
            code = function.__code__
            new = pairs.get((code.co_name, code.co_firstlineno, code.co_code))
            if new is not None and _covers(code, span) and new.co_freevars == code.co_freevars:
                changed.append((function, code))
                scopes.append(function.__globals__)
                function.__globals__[PROBE], function.__globals__[SHARE] = probe, share
                function.__code__ = new
        yield bool(changed)
    finally:
        for function, code in changed:
            function.__code__ = code
        for scope in scopes:
            scope.pop(PROBE, None)
            scope.pop(SHARE, None)


def _covers(code: CodeType, span: tuple[int, int]) -> bool:
    lines = [line for *_, line in code.co_lines() if line]
    inner = any(_covers(part, span) for part in code.co_consts if isinstance(part, CodeType))
    return inner or (bool(lines) and code.co_firstlineno <= span[1] and max(lines) >= span[0])


@contextlib.contextmanager
def _eagerly() -> Iterator[None]:
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
