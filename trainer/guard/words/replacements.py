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
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

import keras
import tensorflow as tf

from ..capture.answer import Answer, Entry, is_finite, is_tiny, is_zero, plain_run
from ..capture.state import all_variables, preserved
from .calls import instead, soft_metric, soft_values
from .candidates import around, bracketed, expressions, name_of, soft_forms, spelled
from .finding import Finding, Replacement
from .layer_arguments import LayerChange, layer_changes, layers_named
from .new_names import tensorflow_name
from .remedies import advise, tried
from .softened import Edit, Soft, Value, rewritten
from .source import about_labels, parsed, source_text

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)
_TRIALS = 14  # a finding
_SECONDS = 10.0  # after which a large model gets no more trials
_PROBE, _SHARE = "__guard_probe__", "__guard_share__"


def with_replacements(findings: Sequence[Finding], forward_loss: Callable, entries: Sequence[Entry]) -> list[Finding]:
    """The findings, each with a replacement where one was found that helps."""
    deadline, variables = time.perf_counter() + _SECONDS, all_variables()
    done: dict[tuple, _Helping | None] = {}
    for finding in findings:
        if _place(finding) not in done and finding.file and finding.line and finding.variables:
            trials = _Trials(forward_loss, entries, variables, deadline, finding.kind == "zero")
            try:
                done[_place(finding)] = _search(finding, trials)
            except Exception as error:  # advice is worth less than the finding; and it is not lost in silence either
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
    """The finding with a replacement; words that are its own stay before it."""
    own = finding.advice if finding.advice != advise(finding) else ""
    offering = dataclasses.replace(finding, replacement=replacement, advice="")
    return dataclasses.replace(offering, advice=f"{own}\n\n{tried(offering)}") if own else offering


def _elsewhere(finding: Finding, helping: Sequence[_Helping], forward_loss, entries, variables) -> _Helping | None:
    """What helped another finding of the report, if it helps this one's variables as well: a dead layer before it."""
    mine = [entry for entry in entries if entry.path in finding.variables]
    if not mine or finding.op_type is None:
        return None
    trials = _Trials(forward_loss, entries, variables, 0.0, finding.kind == "zero")
    for other in helping:
        source = source_text(other.replacement.file)
        if _trial(other.replacement.file, source, other.change, other.functions, trials, mine)[0]:
            return other
    return None


@dataclasses.dataclass(frozen=True)
class _Helping:
    """A change that has helped, as it is offered, and what its trials need."""

    change: Change
    replacement: Replacement
    functions: Sequence[FunctionType]


@dataclasses.dataclass(frozen=True)
class _Trials:
    """What all trials of a report have in common."""

    forward_loss: Callable
    entries: Sequence[Entry]
    variables: Sequence[tf.Variable]
    deadline: float
    strict: bool = False


@dataclasses.dataclass(frozen=True)
class Change:
    """New code for some expressions of the statements from `first` to `last`.

    Attributes:
      edits: the expressions, or a whole statement, and what to put in their place.
      first, last: the statements that they are in.
      shown: the edit whose value is to keep its shape; None where there is none to compare.
      name: for a whole statement, the name that it assigns.
      layer: another argument of a live layer, in place of other code for a function.
      share: the value of the first edit stands for true and false, so it has to lie between 0 and 1.
    """

    edits: tuple[Edit, ...]
    first: ast.stmt
    last: ast.stmt
    shown: Edit | None = None
    name: str = ""
    layer: LayerChange | None = None
    share: bool = False

    def probed(self, edit: Edit) -> Edit:
        """The edit with its value, or that of the name, shown to the trial."""
        if self.name:
            return Edit(edit.node, f"{edit.code}; {_PROBE}({self.name})") if edit is self.shown else edit
        if isinstance(edit.node, ast.stmt):
            return edit
        # A closure has to keep all of its names, or its code cannot be exchanged.
        lost = [name for name in _names_in(edit.node) if not re.search(rf"\b{name}\b", edit.code)]
        arguments = ", ".join([edit.code, *lost])
        if edit is self.shown:
            return Edit(edit.node, f"{_PROBE}({arguments})")
        return Edit(edit.node, f"{_SHARE}({arguments})") if lost or self.share and edit is self.edits[0] else edit


def _names_in(node: ast.expr) -> list[str]:
    """The names that an expression reads, but for those that it makes itself."""
    own = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    if any(isinstance(part, own) for part in ast.walk(node)):
        return []
    return list(dict.fromkeys(part.id for part in ast.walk(node) if isinstance(part, ast.Name)))


def _one(statement: ast.stmt, node: ast.expr, code: str) -> Change:
    edit = Edit(node, code)
    return Change((edit,), statement, statement, edit)


def _search(finding: Finding, trials: _Trials) -> _Helping | None:
    tree, source = parsed(finding.file), source_text(finding.file)
    if tree is None or not source:
        return None
    functions = _functions_of(finding.file)
    if not functions:
        return None
    mine = [entry for entry in trials.entries if entry.path in finding.variables]
    written = _Names(functions[0].__globals__)
    shapes: dict[int, Any] = {}
    metrics = _metrics(functions)
    for change in itertools.islice(_changes(finding, tree, source, metrics), _TRIALS):
        if time.perf_counter() > trials.deadline:
            return None
        change = change if change.name or change.layer else _fitted(change, written)
        if change is None:
            continue
        node = change.shown.node if change.shown else None
        if node is not None and id(node) not in shapes:
            same = Edit(node, ast.get_source_segment(source, node))
            old = dataclasses.replace(change, edits=(same,), shown=same)
            shapes[id(node)] = _trial(finding.file, source, old, functions, trials, mine)[1]
        helps, shape = _trial(finding.file, source, change, functions, trials, mine)
        if helps and (node is None or shape == shapes[id(node)]):
            first, last = change.first.lineno, change.last.end_lineno
            lines = _with(source, change, change.edits).splitlines()
            grown = len(lines) - len(source.splitlines())
            new = Replacement(finding.file, first, last, "\n".join(lines[first - 1 : last + grown]))
            return _Helping(change, new, functions)
    return None


def _fitted(change: Change, written: _Names) -> Change | None:
    """The change in the names that the module has."""
    if any(isinstance(edit.node, ast.stmt) for edit in change.edits):
        return change if written.has_tensorflow or "tf." not in change.edits[0].code else None
    pairs = [(edit, written.fitting(edit.code)) for edit in change.edits]
    if any(code is None for _, code in pairs):
        return None
    edits = {id(edit): Edit(edit.node, code) for edit, code in pairs}
    shown = edits[id(change.shown)] if change.shown else None
    return dataclasses.replace(change, edits=tuple(edits.values()), shown=shown)


def _changes(finding: Finding, tree: ast.AST, source: str, metrics: dict[str, str]) -> Iterator[Change]:
    def text(node: ast.AST) -> str:
        return ast.get_source_segment(source, node) or ast.unparse(node)

    statement = _statement_at(tree, finding.line)
    if statement is None:
        return
    if finding.cause == "left_tensorflow" and finding.op_type is None:
        yield from _in_tensorflow(statement, finding.line)
        return
    if finding.cause == "custom_gradient_none":
        yield from _custom_gradient(tree, finding)
        return
    if finding.cause == "integer_cast":
        yield from _labels_instead(statement)
    if finding.cause == "zero_gradient":
        named = layers_named(finding.detail, finding.file) if "derivative" in finding.detail else []
        places = [(statement, finding.line), *((_statement_at(tree, line), line) for line in named)]
        for around_it, line in places:
            for layer in layer_changes(finding, around_it, line) if around_it is not None else ():
                yield Change((Edit(layer.node, layer.code),), around_it, around_it, layer=layer)
    targets = _targets(finding, statement, text)
    op_type = finding.op_type or ""
    hard = finding.kind != "nonfinite" and finding.cause != "stop_gradient"
    if hard:
        yield from _soft(finding, tree, statement, targets, text, [(False, False)])
    for target in targets:
        if finding.cause == "stop_gradient" and _is_straight_through(statement, target):
            continue
        if hard and op_type in _COMPARED.values():
            continue  # their soft forms are all above and below, with a look at the range of the values
        for whole in around(statement, target):
            for code in expressions(finding.kind, finding.cause, op_type, whole, target, text):
                if code != text(whole):
                    yield _one(statement, whole, code)
    if hard:
        yield from _soft(finding, tree, statement, targets, text, [(True, False), (True, True)])
    yield from _all_at_once(finding, statement, targets, text)
    for call in _calls(finding, statement):
        kind = metrics.get(ast.unparse(call.func))
        codes = soft_metric(kind, call, text) if kind else instead(call, text)
        yield from (_one(statement, call, code) for code in codes if code != text(call))
    if finding.kind == "nonfinite":
        yield from _in_single_precision(finding, statement, targets, text)
        yield from _log_of_softmax(tree, statement, text)
    elif finding.cause in ("non_differentiable_op", "integer_cast", "zero_gradient"):
        yield from _straight_through(statement, finding, text)


def _statement_at(tree: ast.AST, line: int) -> ast.stmt | None:
    """The innermost simple statement on a line."""
    found = [node for node in ast.walk(tree) if isinstance(node, _SIMPLE) and node.lineno <= line <= node.end_lineno]
    return min(found, key=lambda node: node.end_lineno - node.lineno, default=None)


def _metrics(functions: Sequence[FunctionType]) -> dict[str, str]:
    """The names by which these functions speak of Keras metric objects, with the class of each."""
    found: dict[str, Any] = dict(functions[0].__globals__)
    for function in functions:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # a name that is not assigned yet
                found[name] = cell.cell_contents
    return {name: type(value).__name__ for name, value in found.items() if isinstance(value, keras.metrics.Metric)}


def _all_at_once(finding: Finding, statement: ast.stmt, targets: Sequence[ast.expr], text) -> Iterator[Change]:
    """The same change of every expression that spells the op: two norms side by side are both at zero."""
    every = spelled(statement, finding.op_type or "") if targets else []
    apart = [t for t in every if not any(t is not other and t in list(ast.walk(other)) for other in every)]
    if len(apart) < 2:
        return
    codes = [expressions(finding.kind, finding.cause, finding.op_type or "", t, t, text) for t in apart]
    for row in zip(*codes, strict=False):
        edits = tuple(Edit(target, code) for target, code in zip(apart, row, strict=True))
        yield Change(edits, statement, statement, edits[0])


def _targets(finding: Finding, statement: ast.stmt, text: Callable) -> list[ast.expr]:
    """The expressions of the statement that spell the op, the likeliest first."""
    found = spelled(statement, finding.op_type or "")
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
    return sorted(here, key=lambda node: (about_labels(text(node)), len(text(node))))


def _calls(finding: Finding, statement: ast.stmt) -> list[ast.Call]:
    """The calls on the finding's line, those of the finding's columns first."""
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    calls = [node for node in calls if node.lineno <= finding.line <= node.end_lineno]
    return sorted(calls, key=lambda node: (node.col_offset, node.end_col_offset) != finding.columns)


def _soft(
    finding: Finding, tree, statement: ast.stmt, targets: Sequence[ast.expr], text, ways: Sequence[tuple[bool, bool]]
) -> Iterator[Change]:
    """Soft forms of a choice or a test, with what the same or the following statements do with it."""
    op_type = finding.op_type or ""
    pairs = [(statement, target, value) for target in targets for value in soft_forms(op_type, target, text)]
    drawn = [node for node in ast.walk(statement) if isinstance(node, (ast.Call, ast.Subscript))]
    pairs += [(statement, node, value) for node in drawn for value in soft_values(node, text)]
    if op_type in _COUNTS or finding.op_type == "Where":
        pairs += _behind(tree, statement, text)
    for before, target, value in pairs:
        for follow, number in ways:
            if number and value.kind is not Soft.CHOICE:
                continue
            found = rewritten(tree, before, target, value, text, follow, number)
            if found is not None and not (follow and found.last is before):
                share = value.kind is Soft.TRUTH and not value.code.startswith("tf.")
                yield Change(found.edits, found.first, found.last, found.shown, share=share)


_COUNTS = ("Shape", "Size", "Where", "NonMaxSuppressionV3")


def _behind(tree: ast.AST, statement: ast.stmt, text) -> Iterator[tuple[ast.stmt, ast.expr, Value]]:
    """Tests and choices that made the things that a statement counts: on its own line, or where their name was made."""
    names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    made = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and node.lineno < statement.lineno
        and any(isinstance(target, ast.Name) and target.id in names for target in node.targets)
    ]
    latest = sorted(made, key=lambda node: -node.lineno)[:2]
    for before in [statement, *latest]:
        for node in ast.walk(before):
            if isinstance(node, ast.Compare):
                kind = _COMPARED.get(type(node.ops[0]))
                yield from ((before, node, value) for value in (soft_forms(kind, node, text) if kind else ()))
            elif isinstance(node, ast.Call):
                yield from ((before, node, value) for value in soft_values(node, text))


_COMPARED = {ast.Gt: "Greater", ast.GtE: "GreaterEqual", ast.Lt: "Less", ast.LtE: "LessEqual"}


def _in_single_precision(finding: Finding, statement: ast.stmt, targets, text) -> Iterator[Change]:
    """The statement after a line that takes what it sums out of half precision."""
    if finding.op_type not in ("Sum", "Mean", "Mul", "Square", "AddV2", "Exp", "Cast"):
        return
    names = dict.fromkeys(
        node.id
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and node.id not in ("tf", "keras", "K", "np", "ops")
    )
    code = ast.unparse(statement) if statement.lineno != statement.end_lineno else text(statement)
    for name in names:
        first = f"{name} = tf.cast({name}, tf.float32)\n{' ' * statement.col_offset}{code}"
        yield Change((Edit(statement, first),), statement, statement)


def _log_of_softmax(tree: ast.AST, statement: ast.stmt, text) -> Iterator[Change]:
    """`log(softmax(z))` in one step, where the name in the logarithm was made by a softmax."""
    logs = [node for node in ast.walk(statement) if isinstance(node, ast.Call) and name_of(node) == "log" and node.args]
    for log in logs:
        inner = log.args[0]
        if isinstance(inner, ast.Name):
            made = [
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign)
                and node.lineno < statement.lineno
                and any(isinstance(target, ast.Name) and target.id == inner.id for target in node.targets)
            ]
            inner = made[-1] if made else inner
        if isinstance(inner, ast.Call) and name_of(inner) in ("softmax", "sigmoid"):
            arguments = ", ".join([*map(text, inner.args), *(f"{k.arg}={text(k.value)}" for k in inner.keywords)])
            yield _one(statement, log, f"tf.nn.log_{name_of(inner)}({arguments})")


def _custom_gradient(tree: ast.AST, finding: Finding) -> Iterator[Change]:
    """The `return` that a gradient function forgot, or its None, where the function has a single input."""
    defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    owners = [node for node in defined if f"`{node.name}`" in finding.detail] or [
        node for node in defined if any("custom_gradient" in ast.unparse(part) for part in node.decorator_list)
    ]
    for owner in owners:
        for inner in [node for node in ast.walk(owner) if isinstance(node, ast.FunctionDef) and node is not owner]:
            upstream = inner.args.args[0].arg if inner.args.args else None
            returns = [node for node in ast.walk(inner) if isinstance(node, ast.Return)]
            last = inner.body[-1]
            if upstream is None:
                continue
            if not returns and isinstance(last, ast.Expr):
                yield Change((Edit(last, f"return {ast.unparse(last.value)}"),), last, last)
            elif not returns and isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
                code = f"{ast.unparse(last)}\n{' ' * last.col_offset}return {last.targets[0].id}"
                yield Change((Edit(last, code),), last, last)
            for node in returns:
                if node.value is None or isinstance(node.value, ast.Constant) and node.value.value is None:
                    yield Change((Edit(node, f"return {upstream}"),), node, node)


def _labels_instead(statement: ast.stmt) -> Iterator[Change]:
    """`y_pred = tf.cast(y_pred, y_true.dtype)` the other way round."""
    value = getattr(statement, "value", None)
    if not (isinstance(statement, ast.Assign) and isinstance(value, ast.Call) and len(value.args) == 2):
        return
    cast, kind = value.args
    other = kind.value if isinstance(kind, ast.Attribute) and kind.attr == "dtype" else None
    if isinstance(cast, ast.Name) and isinstance(other, ast.Name) and ast.unparse(statement.targets[0]) == cast.id:
        code = f"{other.id} = {ast.unparse(value.func)}({other.id}, {cast.id}.dtype)"
        edit = Edit(statement, code)
        yield Change((edit,), statement, statement, edit, cast.id)


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
        if name_of(call) in _NO_VALUE:
            continue
        for argument in call.args[:1]:
            if not isinstance(argument, (ast.Lambda, ast.Constant, ast.Starred)):
                x = bracketed(text(argument))
                yield _one(statement, call, f"{x} + tf.stop_gradient(tf.cast({text(call)}, {x}.dtype) - {x})")


# A derivative, a normalisation to one: their value with the gradient of what they are made of says nothing.
_NO_VALUE = ("gradient", "jacobian", "batch_jacobian", "softmax", "log_softmax", "matmul", "gather")


def _is_straight_through(statement: ast.stmt, stop: ast.expr) -> bool:
    """`x + tf.stop_gradient(hard - x)`: without the stop nothing of x would be left."""
    inner = stop.args[0] if isinstance(stop, ast.Call) and stop.args else None
    sums = [node for node in ast.walk(statement) if isinstance(node, ast.BinOp) and stop in (node.left, node.right)]
    if not sums or not isinstance(inner, ast.BinOp) or not isinstance(inner.op, ast.Sub):
        return False
    taken = ast.unparse(inner.right)
    return any(ast.unparse(part) == taken for node in sums for part in (node.left, node.right))


def _in_tensorflow(statement: ast.stmt, line: int) -> Iterator[Change]:
    """The statement with TensorFlow's functions for NumPy's, and without `.numpy()`, `float()` and `tf.constant`."""
    value = getattr(statement, "value", None)
    if value is None:
        return
    inner = [node.body for node in ast.walk(value) if isinstance(node, ast.Lambda) and node.lineno <= line]
    value = min((body for body in inner if line <= body.end_lineno), key=lambda body: body.end_lineno, default=value)
    new = _Translated().visit(ast.parse(ast.unparse(value), mode="eval")).body
    yield _one(statement, value, ast.unparse(new))


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
        self._tf = next((name for name, value in known.items() if value is tf), None)
        self._keras = next((name for name, value in known.items() if value is keras), None)
        self._ops = next((name for name, value in known.items() if value is keras.ops), None)

    @property
    def has_tensorflow(self) -> bool:
        """Whether the module calls TensorFlow `tf`."""
        return self._tf == "tf"

    def fitting(self, code: str) -> str | None:
        """The code in the names of the module; None where it has none for a function."""
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
            elif name in ("tf.float32", "tf.int32"):
                new = f'"{name[3:]}"'
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


def _with(source: str, change: Change, edits: Sequence[Edit]) -> str:
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


def _trial(file: str, source: str, change: Change, functions, trials: _Trials, mine) -> tuple[bool, Any]:
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
        new = _with(source, change, [change.probed(edit) for edit in change.edits])
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
                function.__globals__[_PROBE], function.__globals__[_SHARE] = probe, share
                function.__code__ = new
        yield bool(changed)
    finally:
        for function, code in changed:
            function.__code__ = code
        for scope in scopes:
            scope.pop(_PROBE, None)
            scope.pop(_SHARE, None)


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
