"""What may be written instead of the user's lines, for each cause: the likeliest first, untried."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

from .calls import instead, soft_metric, soft_values
from .candidates import around, bracketed, expressions, name_of, soft_forms, spelled
from .finding import Finding
from .layer_arguments import LayerChange, layer_changes, layers_named
from .new_names import tensorflow_name
from .softened import Edit, Soft, Value, rewritten
from .source import about_labels

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)
PROBE, SHARE = "__guard_probe__", "__guard_share__"


@dataclasses.dataclass(frozen=True)
class Change:
    """New code for some expressions of the statements from `first` to `last`.

    Attributes:
      edits: the expressions, or a whole statement, and the code to replace them.
      first, last: the statements around them.
      shown: the edit whose value has to keep its shape; None where there is none to compare.
      name: for a whole statement, the name that it assigns.
      layer: another argument of a live layer, instead of other code for a function.
      share: the value of the first edit stands for a boolean, so it has to lie between 0 and 1.
    """

    edits: tuple[Edit, ...]
    first: ast.stmt
    last: ast.stmt
    shown: Edit | None = None
    name: str = ""
    layer: LayerChange | None = None
    share: bool = False

    def probed(self, edit: Edit) -> Edit:
        """The edit with its value, or that of the name, reported to the trial."""
        if self.name:
            return Edit(edit.node, f"{edit.code}; {PROBE}({self.name})") if edit is self.shown else edit
        if isinstance(edit.node, ast.stmt):
            return edit
        # A closure has to keep all of its names, or its code cannot be replaced.
        lost = [name for name in _names_in(edit.node) if not re.search(rf"\b{name}\b", edit.code)]
        arguments = ", ".join([edit.code, *lost])
        if edit is self.shown:
            return Edit(edit.node, f"{PROBE}({arguments})")
        return Edit(edit.node, f"{SHARE}({arguments})") if lost or self.share and edit is self.edits[0] else edit


def _names_in(node: ast.expr) -> list[str]:
    """The names that an expression reads, except those that it binds itself."""
    own = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    if any(isinstance(part, own) for part in ast.walk(node)):
        return []
    return list(dict.fromkeys(part.id for part in ast.walk(node) if isinstance(part, ast.Name)))


def _one(statement: ast.stmt, node: ast.expr, code: str) -> Change:
    edit = Edit(node, code)
    return Change((edit,), statement, statement, edit)


def changes(finding: Finding, tree: ast.AST, source: str, metrics: dict[str, str]) -> Iterator[Change]:
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
            continue  # their soft forms are all above and below, with a check of the range of the values
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
    """Soft forms of a choice or a test, including its uses in the same and the following statements."""
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
    """Tests and choices that made what a statement counts: on its own line, or where the name was assigned."""
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
    """The statement behind a new line that casts what it sums to single precision."""
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
    """`log(softmax(z))` in one step, where the name in the logarithm was assigned a softmax."""
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
    """The missing `return` of a gradient function, or its None replaced, where the function has a single input."""
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
    """`y_pred = tf.cast(y_pred, y_true.dtype)` turned round: the labels are cast instead."""
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
    """The value of the expression with the gradient of its operand, where it keeps the shape."""
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


# For a derivative or a normalisation to 1 the operand's gradient means nothing.
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
