"""Advice that has been run: the user's function with some lines replaced, on the same inputs, before they are shown.

A replacement is shown only if the forward pass runs with it, the expression keeps its shape, and the variables of the
finding then get gradients that are finite and not all zero. For the trial the file is compiled with its new lines, and
for a moment the code of the functions that are alive is exchanged for the new code; nothing is imported or run again.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import gc
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

import tensorflow as tf

from ..capture.answer import Entry, is_finite, is_zero, plain_run
from ..capture.state import all_variables, preserved
from .candidates import around, bracketed, expressions, name_of, spelled
from .finding import Finding, Replacement
from .new_names import tensorflow_name
from .source import about_labels, parsed, source_text

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)
_TRIALS = 8  # a finding
_SECONDS = 10.0  # after which a large model gets no more trials
_PROBE = "__guard_probe__"


def with_replacements(findings: Sequence[Finding], forward_loss: Callable, entries: Sequence[Entry]) -> list[Finding]:
    """The findings, each with a replacement where one was found that helps."""
    deadline, variables = time.perf_counter() + _SECONDS, all_variables()
    done: dict[tuple, Replacement | None] = {}
    found = []
    for finding in findings:
        place = (finding.file, finding.line, finding.op_type, finding.cause)
        if place not in done and finding.file and finding.line and finding.variables:
            done[place] = _search(finding, _Trials(forward_loss, entries, variables, deadline))
        replacement = done.get(place)
        found.append(dataclasses.replace(finding, replacement=replacement, advice="") if replacement else finding)
    return found


@dataclasses.dataclass(frozen=True)
class _Trials:
    """What all trials of a report have in common."""

    forward_loss: Callable
    entries: Sequence[Entry]
    variables: Sequence[tf.Variable]
    deadline: float


@dataclasses.dataclass(frozen=True)
class Change:
    """An expression of a statement, or with `name` the statement that assigns it, and the code to put in its place."""

    statement: ast.stmt
    whole: ast.expr | ast.stmt
    code: str
    name: str = ""

    def probed(self, code: str) -> str:
        """The code with its value, or that of the name, shown to the trial."""
        return f"{code}; {_PROBE}({self.name})" if self.name else f"{_PROBE}({code})"


def _search(finding: Finding, trials: _Trials) -> Replacement | None:
    tree, source = parsed(finding.file), source_text(finding.file)
    if tree is None or not source:
        return None
    functions = _functions_of(finding.file)
    if not functions:
        return None
    mine = [entry for entry in trials.entries if entry.path in finding.variables]
    written = _Names(functions[0].__globals__)
    shapes: dict[int, Any] = {}
    for change in itertools.islice(_changes(finding, tree, source), _TRIALS):
        if time.perf_counter() > trials.deadline:
            return None
        code = change.code if change.name else written.fitting(change.code)
        if code is None:
            continue
        if id(change.whole) not in shapes:
            old = ast.get_source_segment(source, change.whole)
            shapes[id(change.whole)] = _trial(finding.file, source, change, old, functions, trials, mine)[1]
        helps, shape = _trial(finding.file, source, change, code, functions, trials, mine)
        if helps and shape == shapes[id(change.whole)]:
            first, last = change.statement.lineno, change.statement.end_lineno
            lines = _with(source, change, code).splitlines()
            grown = len(lines) - len(source.splitlines())
            return Replacement(finding.file, first, last, "\n".join(lines[first - 1 : last + grown]))
    return None


def _changes(finding: Finding, tree: ast.AST, source: str) -> Iterator[Change]:
    def text(node: ast.AST) -> str:
        return ast.get_source_segment(source, node) or ast.unparse(node)

    statements = [
        node for node in ast.walk(tree) if isinstance(node, _SIMPLE) and node.lineno <= finding.line <= node.end_lineno
    ]
    if not statements:
        return
    statement = min(statements, key=lambda node: node.end_lineno - node.lineno)
    if finding.cause == "left_tensorflow":
        yield from _in_tensorflow(statement)
        return
    if finding.cause == "integer_cast":
        yield from _labels_instead(statement)
    op_type = finding.op_type or ""
    found = spelled(statement, op_type)
    if finding.columns:
        exact = [
            node
            for node in found
            if node.lineno == finding.line == node.end_lineno
            and (node.col_offset, node.end_col_offset) == finding.columns
        ]
        inside = [
            node
            for node in found
            if node.lineno == finding.line
            and finding.columns[0] <= node.col_offset
            and node.end_col_offset <= finding.columns[1]
        ]
        found = exact or inside or found
    here = [node for node in found if node.lineno <= finding.line <= node.end_lineno] or found
    for target in sorted(here, key=lambda node: (about_labels(text(node)), len(text(node)))):
        if finding.cause == "stop_gradient" and _is_straight_through(statement, target):
            continue
        for whole in around(statement, target):
            for code in expressions(finding.kind, finding.cause, op_type, whole, target, text):
                if code != text(whole):
                    yield Change(statement, whole, code)
    if finding.kind != "nonfinite" and finding.cause in ("non_differentiable_op", "integer_cast", "zero_gradient"):
        yield from _straight_through(statement, finding, text)


def _labels_instead(statement: ast.stmt) -> Iterator[Change]:
    """`y_pred = tf.cast(y_pred, y_true.dtype)` the other way round."""
    value = getattr(statement, "value", None)
    if not (isinstance(statement, ast.Assign) and isinstance(value, ast.Call) and len(value.args) == 2):
        return
    cast, kind = value.args
    other = kind.value if isinstance(kind, ast.Attribute) and kind.attr == "dtype" else None
    if isinstance(cast, ast.Name) and isinstance(other, ast.Name) and ast.unparse(statement.targets[0]) == cast.id:
        code = f"{other.id} = {ast.unparse(value.func)}({other.id}, {cast.id}.dtype)"
        yield Change(statement, statement, code, cast.id)


def _straight_through(statement: ast.stmt, finding: Finding, text: Callable) -> Iterator[Change]:
    """The value of the expression, and the gradient of what it works on: for what keeps the shape."""
    calls = [
        node
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        and finding.columns
        and (node.lineno, node.col_offset, node.end_col_offset) == (finding.line, *finding.columns)
    ]
    for call in calls:
        for argument in call.args[:1]:
            if not isinstance(argument, (ast.Lambda, ast.Constant, ast.Starred)):
                x = bracketed(text(argument))
                yield Change(statement, call, f"{x} + tf.stop_gradient(tf.cast({text(call)}, {x}.dtype) - {x})")


def _is_straight_through(statement: ast.stmt, stop: ast.expr) -> bool:
    """`x + tf.stop_gradient(hard - x)`: without the stop nothing of x would be left."""
    inner = stop.args[0] if isinstance(stop, ast.Call) and stop.args else None
    sums = [node for node in ast.walk(statement) if isinstance(node, ast.BinOp) and stop in (node.left, node.right)]
    if not sums or not isinstance(inner, ast.BinOp) or not isinstance(inner.op, ast.Sub):
        return False
    taken = ast.unparse(inner.right)
    return any(ast.unparse(part) == taken for node in sums for part in (node.left, node.right))


def _in_tensorflow(statement: ast.stmt) -> Iterator[Change]:
    """The statement with TensorFlow's functions for NumPy's, and without `.numpy()`, `float()` and `tf.constant`."""
    value = getattr(statement, "value", None)
    if value is None:
        return
    new = _Translated().visit(ast.parse(ast.unparse(value), mode="eval")).body
    yield Change(statement, value, ast.unparse(new))


class _Translated(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = ast.unparse(node.func)
        root, _, rest = name.partition(".")
        last = name_of(node)
        if root in ("np", "numpy", "onp", "math") and rest:
            new = tensorflow_name(rest)
            if new in ("tf.convert_to_tensor", "tf.cast") and node.args:
                return node.args[0]
            if new and new.replace(".", "").replace("_", "").isalnum():
                node.func = ast.parse(new, mode="eval").body
        elif last == "numpy" and isinstance(node.func, ast.Attribute) and not node.args:
            return node.func.value
        elif last == "item" and isinstance(node.func, ast.Attribute) and not node.args:
            return node.func.value
        elif (name == "float" or last in ("constant", "convert_to_tensor", "Variable")) and node.args:
            return node.args[0]
        return node


class _Names:
    """The names that a module has for TensorFlow and Keras, put in place of `tf`."""

    def __init__(self, known: dict[str, Any]):
        import keras

        self._tf = next((name for name, value in known.items() if value is tf), None)
        self._keras = next((name for name, value in known.items() if value is keras), None)
        self._ops = next((name for name, value in known.items() if value is keras.ops), None)

    def fitting(self, code: str) -> str | None:
        """The code in the names of the module; None where it has none for a function."""
        import keras

        try:
            tree = ast.parse(code, mode="eval")
        except SyntaxError:
            return None
        parts = [node for node in ast.walk(tree) if _dotted(node).startswith("tf.")]
        outermost = [node for node in parts if not any(node is other.value for other in parts)]
        outermost.sort(key=lambda node: -node.col_offset)
        if not outermost or self._tf == "tf":
            return code
        prefix = self._ops or (f"{self._keras}.ops" if self._keras else None)
        for node in outermost:
            name = _dotted(node)
            if self._tf:
                new = self._tf + name[2:]
            elif prefix is None:
                return None
            else:
                last = name.rpartition(".")[2].removeprefix("reduce_")
                last = {
                    "pow": "power",
                    "clip_by_value": "clip",
                    "math.ceil": "ceil",
                    "acos": "arccos",
                    "asin": "arcsin",
                    "atan2": "arctan2",
                    "range": "arange",
                }.get(last, last)
                if not hasattr(keras.ops, last):
                    return None
                new = f"{prefix}.{last}"
            code = code[: node.col_offset] + new + code[node.end_col_offset :]
        return code if self._tf else code.replace("alpha=", "negative_slope=")


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _with(source: str, change: Change, code: str) -> str:
    """The whole file with the expression replaced; brackets where an operator beside it needs them."""
    whole, lines = change.whole, source.splitlines(keepends=True)
    beside = any(
        child is whole
        for node in ast.walk(change.statement)
        if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Attribute, ast.Subscript))
        for child in ast.iter_child_nodes(node)
    )
    code = bracketed(code) if beside else code
    first, last = lines[whole.lineno - 1].encode(), lines[whole.end_lineno - 1].encode()
    joined = first[: whole.col_offset] + code.encode() + last[whole.end_col_offset :]
    return "".join([*lines[: whole.lineno - 1], joined.decode(), *lines[whole.end_lineno :]])


def _trial(file: str, source: str, change: Change, code: str, functions, trials: _Trials, mine) -> tuple[bool, Any]:
    """Whether the code helps the variables, and the shapes that the expression had."""
    shapes: list[tuple] = []

    def probe(value):
        shapes.append(tuple(value.shape) if hasattr(value, "shape") else ())
        return value

    try:
        new = _with(source, change, change.probed(code))
        pairs = _codes(compile(source, file, "exec", dont_inherit=True), compile(new, file, "exec", dont_inherit=True))
    except (SyntaxError, ValueError):
        return False, None
    span = (change.statement.lineno, change.statement.end_lineno)
    with _exchanged(functions, pairs, span, probe) as done, preserved(trials.variables), _eagerly():
        if not done:
            return False, None
        answer = plain_run(lambda: tf.autograph.experimental.do_not_convert(trials.forward_loss)(), mine)
    good = answer.error is None and tf.is_tensor(answer.loss) and is_finite(answer.loss)
    good = good and all(g is not None and is_finite(g) for g in answer.gradients)
    return bool(good and shapes and not all(is_zero(g) for g in answer.gradients)), shapes or None


def _functions_of(file: str) -> list[FunctionType]:
    return [thing for thing in gc.get_objects() if type(thing) is FunctionType and thing.__code__.co_filename == file]


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
def _exchanged(functions, pairs: dict[Key, CodeType], span: tuple[int, int], probe) -> Iterator[bool]:
    """For a while, the functions around some lines run their new code; yields whether there was any."""
    changed, scopes = [], []
    try:
        for function in functions:
            code = function.__code__
            new = pairs.get((code.co_name, code.co_firstlineno, code.co_code))
            if new is not None and _covers(code, span) and new.co_freevars == code.co_freevars:
                changed.append((function, code))
                scopes.append(function.__globals__)
                function.__globals__[_PROBE] = probe
                function.__code__ = new
        yield bool(changed)
    finally:
        for function, code in changed:
            function.__code__ = code
        for scope in scopes:
            scope.pop(_PROBE, None)


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
