"""The user's own source: a line, the lines around it, and which expression of it an op came from."""

from __future__ import annotations

import ast
import functools
import linecache
import re

# How an op is written in code, where not by its name in snake case. For the mark under a line, never a verdict.
_SPELLED = {
    "Cast": ("cast", "astype", "to_int32", "to_int64", "int"),
    "ArgMax": ("argmax",),
    "ArgMin": ("argmin",),
    "TopKV2": ("top_k", "in_top_k", "sort", "argsort"),
    "InTopKV2": ("in_top_k",),
    "PyFunc": ("numpy_function", "py_func"),
    "PyFuncStateless": ("numpy_function",),
    "EagerPyFunc": ("py_function",),
    "Where": ("where",),
    "SelectV2": ("where",),
    "RealDiv": ("divide", "truediv", "div"),
    "DivNoNan": ("divide_no_nan",),
    "Mul": ("multiply",),
    "Sum": ("reduce_sum", "sum"),
    "Mean": ("reduce_mean", "mean"),
    "Max": ("reduce_max", "max", "amax"),
    "Min": ("reduce_min", "min", "amin"),
    "Any": ("reduce_any", "any"),
    "All": ("reduce_all", "all"),
    "Maximum": ("maximum", "clip_by_value", "clip", "relu"),
    "Minimum": ("minimum", "clip_by_value", "clip"),
    "ClipByValue": ("clip_by_value", "clip"),
    "Rint": ("rint", "round"),
    "Bucketize": ("bucketize", "digitize"),
    "HistogramFixedWidth": ("histogram_fixed_width",),
    "StatelessWhile": ("while_loop", "map_fn", "scan", "foldl"),
    "While": ("while_loop", "map_fn", "scan", "foldl"),
    "StatelessIf": ("cond",),
    "If": ("cond",),
    "IdentityN": (),
    "AssignVariableOp": ("assign",),
    "AssignAddVariableOp": ("assign_add",),
    "AssignSubVariableOp": ("assign_sub",),
    "HSVToRGB": ("hsv_to_rgb",),
    "RGBToHSV": ("rgb_to_hsv",),
    "Sqrt": ("sqrt", "norm", "std", "reduce_std"),
    "Pow": ("pow", "power"),
    "StatelessRandomBinomial": ("binomial",),
    "Multinomial": ("categorical", "multinomial"),
    "StatelessMultinomial": ("stateless_categorical", "categorical"),
    "Bincount": ("bincount", "confusion_matrix"),
    "DenseBincount": ("bincount",),
    "Unique": ("unique",),
    "LogicalAnd": ("logical_and",),
}
_OPERATORS = {
    "Greater": ast.Gt,
    "GreaterEqual": ast.GtE,
    "Less": ast.Lt,
    "LessEqual": ast.LtE,
    "Equal": ast.Eq,
    "NotEqual": ast.NotEq,
    "RealDiv": ast.Div,
    "FloorDiv": ast.FloorDiv,
    "FloorMod": ast.Mod,
    "Mul": ast.Mult,
    "AddV2": ast.Add,
    "Sub": ast.Sub,
    "Pow": ast.Pow,
    "MatMul": ast.MatMult,
    "BatchMatMulV2": ast.MatMult,
    "LogicalAnd": ast.BitAnd,
    "LogicalOr": ast.BitOr,
    "BitwiseAnd": ast.BitAnd,
    "LogicalNot": ast.Invert,
    "Neg": ast.USub,
}


_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)


def line_at(file: str, line: int) -> str:
    """The text of a line (1-based) of a file or a notebook cell, without its line break; "" where there is none."""
    return linecache.getline(file, line).rstrip("\r\n")


def source_text(file: str) -> str:
    """All of a file or a notebook cell; "" where there is none."""
    return "".join(linecache.getlines(file))


def lines_around(file: str, line: int, before: int = 2, after: int = 2) -> list[tuple[int, str]]:
    """Numbered lines around a line, without common indentation and blank lines at the ends."""
    numbers = range(max(1, line - before), line + after + 1)
    window = [(n, line_at(file, n).expandtabs(4)) for n in numbers if n <= len(linecache.getlines(file))]
    while window and not window[0][1].strip() and window[0][0] != line:
        window.pop(0)
    while window and not window[-1][1].strip() and window[-1][0] != line:
        window.pop()
    indents = [len(text) - len(text.lstrip()) for _, text in window if text.strip()]
    common = min(indents, default=0)
    return [(n, text[common:]) for n, text in window]


def expression_columns(file: str, line: int, op_type: str | None) -> tuple[int, int] | None:
    """The columns (0-based, end exclusive) of the expression on a line that most likely became an op of this type.

    A guess from names, only for the mark under the line: the comparison for `Greater`, the call of `tf.argmax` for
    `ArgMax`. Without a match it is the right-hand side of the statement, or the whole line.
    """
    text = line_at(file, line)
    if not text.strip():
        return None
    nodes = [node for node in _expressions(file) if node.lineno == line]
    matching = [node for node in nodes if op_type and spells(node, op_type)]
    values = [node for node in _statement_values(file) if node.lineno == line]
    for group, choose in ((matching, min), (values, max)):
        if group:
            node = choose(
                group,
                key=lambda n: (
                    about_labels(text[_start(n, text) : _end(n, line, text)]) == (choose is min),
                    _end(n, line, text) - _start(n, text),
                ),
            )
            return _start(node, text), _end(node, line, text)
    code = re.sub(r"\s+#.*$", "", text).rstrip()
    return len(code) - len(code.lstrip()), len(code)


@functools.lru_cache(maxsize=1024)
def spelled_line(file: str, line: int, op_type: str) -> int:
    """The line on which an op is spelled out, in the statement around `line`; `line` itself if that is unclear.

    In code rewritten by AutoGraph, TensorFlow knows only one line of a statement over several.
    """
    tree = parsed(file)
    statements = [node for node in ast.walk(tree) if isinstance(node, _SIMPLE)] if tree else []
    around = [node for node in statements if node.lineno <= line <= node.end_lineno != node.lineno]
    found = {
        part.lineno
        for node in around
        for part in ast.walk(node)
        if isinstance(part, ast.expr) and spells(part, op_type)
    }
    return found.pop() if len(found) == 1 and line not in found else line


def about_labels(expression: str) -> bool:
    """Whether an expression names only labels: of two equal candidates, the other is meant."""
    return bool(re.search(r"true|label|target|truth|mask_gt", expression)) and not re.search(
        r"pred|logit|prob|output", expression
    )


def spells(node: ast.AST, op_type: str) -> bool:
    """Whether an expression is how people write this op: `p > 0.5` for `Greater`, `tf.argmax(p)` for `ArgMax`."""
    operator = _OPERATORS.get(op_type)
    if operator:
        if isinstance(node, ast.Compare) and any(isinstance(op, operator) for op in node.ops):
            return True
        if isinstance(node, (ast.BinOp, ast.UnaryOp)) and isinstance(node.op, operator):
            return True
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name in _SPELLED.get(op_type, ()) or name == _snake(op_type)
    return False


def _snake(op_type: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.sub(r"V\d+$", "", op_type)).lower()


@functools.lru_cache(maxsize=32)
def _tree(file: str, stamp: int) -> ast.AST | None:
    try:
        return ast.parse(source_text(file))
    except (SyntaxError, ValueError):  # a notebook cell with magics, or a template: the mark is the whole line
        return None


def parsed(file: str) -> ast.AST | None:
    """The syntax tree of a file or a notebook cell; None if there is no source or it is not plain Python."""
    linecache.checkcache(file)
    return _tree(file, hash(tuple(linecache.getlines(file))))


def _expressions(file: str) -> list[ast.expr]:
    tree = parsed(file)
    return [node for node in ast.walk(tree) if isinstance(node, ast.expr)] if tree else []


def _statement_values(file: str) -> list[ast.expr]:
    tree = parsed(file)
    return [node.value for node in ast.walk(tree) if isinstance(node, _SIMPLE) and node.value] if tree else []


def _column(text: str, offset: int) -> int:
    """Python counts a syntax tree's columns in UTF-8 bytes; a reader counts characters."""
    return len(text.encode()[:offset].decode(errors="ignore"))


def _start(node: ast.expr, text: str) -> int:
    return _column(text, node.col_offset)


def _end(node: ast.expr, line: int, text: str) -> int:
    return _column(text, node.end_col_offset) if node.end_lineno == line else len(text.rstrip())
