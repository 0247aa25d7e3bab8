"""Makes a hard choice soft, together with its uses in the following statements.

`ids = tf.argmax(p, -1)` cannot become `tf.nn.softmax(p)` by itself, since later statements take whole numbers. So they
are all rewritten together: a choice of a class becomes its probabilities, a boolean test becomes a number between 0
and 1, and their uses become soft (`tf.gather(table, ids)` a weighted mean of the rows, `tf.equal(ids, y)` the
probability of y, `tf.cast` nothing at all).
"""

from __future__ import annotations

import ast
import dataclasses
import enum
from collections.abc import Iterator

from .candidates import bracketed, name_of

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)
_CASTS = ("cast", "astype", "to_float", "convert_to_tensor", "identity", "bool", "squeeze", "reshape", "expand_dims")


class Soft(enum.Enum):
    """What a soft value stands for."""

    TRUTH = "truth"  # a number between 0 and 1 in place of a boolean
    CHOICE = "choice"  # probabilities over a new last axis in place of a whole number
    PLACES = "places"  # soft booleans in place of the list of positions where they hold
    KEPT = "kept"  # soft booleans in place of the values that they select
    PICKED = "picked"  # the scores in place of the indices picked by them
    LENGTH = "length"  # a number of items in place of the shape of their list


@dataclasses.dataclass(frozen=True)
class Value:
    """Code for a soft value; for `KEPT`, `values` are what the soft booleans weigh."""

    code: str
    kind: Soft
    values: str = ""


@dataclasses.dataclass(frozen=True)
class Edit:
    """An expression, and the code to replace it."""

    node: ast.expr
    code: str


@dataclasses.dataclass(frozen=True)
class Rewritten:
    """Edits of the statements from `first` to `last`; the shape of `shown` must not change."""

    edits: tuple[Edit, ...]
    first: ast.stmt
    last: ast.stmt
    shown: Edit


def rewritten(
    tree: ast.AST, statement: ast.stmt, target: ast.expr, value: Value, text, follow: bool = True, number: bool = False
) -> Rewritten | None:
    """The statement with `target` made soft, and later statements that use the name it is assigned to.

    Args:
      tree: the file.
      statement: the statement with the target.
      target: the expression to be replaced.
      value: its soft form.
      text: a function from a node to its source.
      follow: whether later statements are rewritten as well.
      number: whether a choice that is cast to floating point becomes the expected number of the class.

    Returns:
      None where a use of the value has no known soft form.
    """
    writer = _Writer(target, value, text, number)
    edits, touched = [], []
    for current in [statement, *(_following(tree, statement) if follow else ())]:
        found = writer.statement(current)
        if found:
            edits += found
            touched.append(current)
    if not edits or not touched:
        return None
    return Rewritten(tuple(edits), touched[0], max(touched, key=lambda node: node.end_lineno), edits[-1])


class _Writer:
    def __init__(self, target: ast.expr, value: Value, text, as_number: bool):
        self._target, self._value, self._text, self._as_number = target, value, text, as_number
        self._names: dict[str, Value] = {}

    def statement(self, node: ast.stmt) -> list[Edit]:
        edits: list[Edit] = []
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr) and part is not getattr(node, "target", None):
                soft = self._visit(part, edits)
                if soft is not None:
                    if soft.code != self._text(part):
                        edits.append(Edit(part, soft.code))
                    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and part is node.value:
                        name = node.targets[0].id
                        self._names[name] = dataclasses.replace(soft, code=name)
                elif isinstance(node, ast.Assign) and part is node.value:
                    for target in node.targets:
                        self._names.pop(getattr(target, "id", ""), None)
        return edits

    def _visit(self, node: ast.expr, edits: list[Edit]) -> Value | None:
        """The soft value of an expression, or None after edits within it."""
        if node is self._target:
            return self._value
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in self._names:
            return self._names[node.id]
        children = {}
        for child in _expressions_of(node):
            inner = self._visit(child, edits)
            if inner is not None:
                children[child] = inner
        if not children:
            return None
        outer = self._rule(node, children)
        if outer is not None:
            return outer
        edits += [Edit(child, soft.code) for child, soft in children.items() if soft.code != self._text(child)]
        return None

    def _rule(self, node: ast.expr, soft: dict[ast.expr, Value]) -> Value | None:
        child, value = next(iter(soft.items()))
        function = getattr(node, "func", None)
        code, rest = bracketed(value.code), [p for p in _expressions_of(node) if p is not child and p is not function]
        others = [soft[part].code if part in soft else self._text(part) for part in rest]
        name = name_of(node)
        if isinstance(node, (ast.Lambda, ast.IfExp, ast.Tuple, ast.List, ast.Dict, ast.Starred)):
            return None
        if isinstance(node, ast.Attribute):  # a method: `scores.argmax()`; handled at the call
            return value if node.attr in ("astype", "dtype") else None
        if isinstance(node, ast.Call) and name in _CASTS:
            if value.kind is Soft.CHOICE and self._as_number and "int" not in self._text(node).rpartition("(")[2]:
                return Value(expected(value.code), Soft.TRUTH)
            return value if name in ("cast", "astype", "to_float", "identity", "bool") else None
        by_kind = {
            Soft.TRUTH: self._of_truth,
            Soft.CHOICE: self._of_choice,
            Soft.PLACES: self._of_list,
            Soft.KEPT: self._of_list,
            Soft.PICKED: self._of_list,
            Soft.LENGTH: self._of_length,
        }
        return by_kind[value.kind](node, name, child, value, code, others)

    def _of_truth(self, node, name, child, value, code, others) -> Value | None:
        axis = self._axis(node)
        equal = isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq))
        if (equal or name in ("equal", "not_equal")) and others and others[0] in ("0", "0.0", "1", "1.0", "True"):
            differs = name == "not_equal" or equal and isinstance(node.ops[0], ast.NotEq)
            return value if (others[0] in ("0", "0.0")) == differs else Value(f"1.0 - {code}", Soft.TRUTH)
        if name == "where" and len(node.args) == 3 and child is node.args[0]:
            on, off = (bracketed(self._text(part)) for part in node.args[1:])
            if (on, off) in (("1", "0"), ("1.0", "0.0")):
                return value
            return Value(f"{code} * {on} + (1.0 - {code}) * {off}", Soft.TRUTH)
        if name == "where" and len(node.args) == 1:
            return Value(value.code, Soft.PLACES)
        if name == "boolean_mask" and child in node.args[1:2]:
            return Value(value.code, Soft.KEPT, self._text(node.args[0]))
        if name in ("logical_and",) or isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
            return Value(f"{code} * {self._number(others, code)}", Soft.TRUTH) if others else None
        if name in ("logical_or",) or isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            other = self._number(others, code)
            return Value(f"{code} + {other} - {code} * {other}", Soft.TRUTH) if others else None
        if name == "logical_not" or isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            return Value(f"1.0 - {code}", Soft.TRUTH)
        if name in ("reduce_any", "any"):
            return Value(f"tf.reduce_max({value.code}{axis})", Soft.TRUTH)
        if name in ("reduce_all", "all"):
            return Value(f"tf.reduce_min({value.code}{axis})", Soft.TRUTH)
        if name == "count_nonzero":
            return Value(f"tf.reduce_sum({value.code}{axis})", Soft.LENGTH)
        return None

    def _of_choice(self, node, name, child, value, code, others) -> Value | None:
        if name == "one_hot":
            return value if child is node.args[0] else None
        if name in ("gather", "embedding_lookup") and child in node.args[1:2]:
            return Value(f"tf.tensordot({value.code}, {self._text(node.args[0])}, 1)", Soft.TRUTH)
        if name == "take" and child in node.args[1:2]:
            return Value(f"tf.tensordot({value.code}, {self._text(node.args[0])}, 1)", Soft.TRUTH)
        if isinstance(node, ast.Call) and child in node.args[:1] and isinstance(node.func, ast.Attribute):
            if self._text(node.func.value) == "self":  # an Embedding layer
                return Value(f"tf.tensordot({value.code}, {self._text(node.func)}.embeddings, 1)", Soft.TRUTH)
        equal = (
            name in ("equal", "not_equal")
            or isinstance(node, ast.Compare)
            and isinstance(node.ops[0], (ast.Eq, ast.NotEq))
        )
        if equal and others:
            classes = f"tf.one_hot(tf.cast({others[0]}, tf.int32), tf.shape({value.code})[-1])"
            same = f"tf.reduce_sum({code} * {classes}, axis=-1)"
            differs = name == "not_equal" or isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.NotEq)
            return Value(f"1.0 - {same}" if differs else same, Soft.TRUTH)
        if name == "confusion_matrix":
            labels = next((self._text(part) for part in node.args if part is not child), None)
            if labels is not None:
                ids = f"tf.one_hot(tf.cast({labels}, tf.int32), tf.shape({value.code})[-1])"
                return Value(f"tf.matmul({ids}, {value.code}, transpose_a=True)", Soft.LENGTH)
        return None

    def _of_list(self, node, name, child, value, code, others) -> Value | None:
        """Soft counts and sums of a list's items."""
        total = f"tf.reduce_sum({value.code})"
        if name in ("shape", "size", "len"):
            return Value(total, Soft.LENGTH)
        if isinstance(node, ast.Attribute) and node.attr == "shape":
            return Value(total, Soft.LENGTH)
        if value.kind is not Soft.KEPT:
            return None
        values = bracketed(value.values)
        if name in ("reduce_sum", "sum") and len(node.args) == 1 and not node.keywords:
            return Value(f"tf.reduce_sum({values} * {code})", Soft.LENGTH)
        if name in ("reduce_mean", "mean") and len(node.args) == 1 and not node.keywords:
            return Value(f"tf.reduce_sum({values} * {code}) / ({total} + 1e-7)", Soft.LENGTH)
        return None

    def _of_length(self, node, name, child, value, code, others) -> Value | None:
        if isinstance(node, ast.Subscript) or name in ("float", "int", "reduce_prod"):
            return value
        return None

    def _number(self, others, code) -> str:
        return f"tf.cast({others[0]}, {code}.dtype)" if others else "1.0"

    def _axis(self, node) -> str:
        named = [f", {k.arg}={self._text(k.value)}" for k in getattr(node, "keywords", ()) if k.arg in _AXES]
        placed = [f", axis={self._text(part)}" for part in (node.args[1:2] if isinstance(node, ast.Call) else ())]
        return "".join(named or placed)


_AXES = ("axis", "keepdims")


def expected(probabilities: str) -> str:
    """The expected number of the class, for probabilities over the last axis."""
    p = bracketed(probabilities)
    return f"tf.reduce_sum({p} * tf.cast(tf.range(tf.shape({probabilities})[-1]), {p}.dtype), axis=-1)"


def _expressions_of(node: ast.expr) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.keyword):
            yield child.value
        elif isinstance(child, ast.expr):
            yield child


def _following(tree: ast.AST, statement: ast.stmt) -> list[ast.stmt]:
    """The simple statements after a statement, in the same function, by line."""
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.lineno <= statement.lineno
        and statement.end_lineno <= node.end_lineno
    ]
    if not functions:
        return []
    function = min(functions, key=lambda node: node.end_lineno - node.lineno)
    inner = [
        node
        for node in ast.walk(function)
        if node is not function and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    ]
    found = [
        node
        for node in ast.walk(function)
        if isinstance(node, _SIMPLE)
        and node.lineno > statement.lineno
        and not any(other.lineno <= node.lineno <= other.end_lineno for other in inner)
    ]
    return sorted(found, key=lambda node: node.lineno)
