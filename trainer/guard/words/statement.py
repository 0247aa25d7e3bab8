"""The user's statement as a syntax tree, so that advice can be given as that statement with one expression replaced."""

from __future__ import annotations

import ast
import dataclasses
import textwrap

from .source import about_labels, line_at, parsed, source_text, spells

_CASTS = ("cast", "astype", "to_float", "convert_to_tensor")
_MOST_LINES = 3  # a longer statement is not repeated in advice; its expression alone is


@dataclasses.dataclass(frozen=True)
class Place:
    """An expression in a statement.

    Attributes:
      statement: the statement's text; None when it is too long to repeat.
      expression: the text of the expression that became the op, a cast around it included.
      operands: the texts of what it works on: the arguments of a call, the two sides of an operator.
      embedded: whether an operator works on the expression, so that what replaces it may need brackets.
    """

    statement: str | None
    expression: str
    operands: tuple[str, ...]
    embedded: bool = False

    def instead(self, new: str) -> str:
        """The statement with `new` in the expression's place; `new` alone where the statement is too long."""
        if self.statement is None:
            return new
        old = self.expression
        if self.embedded:
            new = in_brackets(new)
            old = f"({old})" if f"({old})" in self.statement else old
        text = self.statement.replace(old, new, 1)
        for prefix in ("if", "while"):  # a condition: shown as it is, without its block
            if text.startswith(f"{prefix} ") and not text.endswith(":"):
                return f"{text}:"
        return text


def place_of(finding) -> Place | None:
    """Where a finding's op stands in the user's source; None if there is no source, or nothing in it spells the op."""
    if not (finding.op_type and (finding.file and finding.line or finding.code)):
        return None
    statement = _statement(finding)
    if statement is None:
        return None
    text, node = statement
    found = [child for child in ast.walk(node) if isinstance(child, ast.expr) and spells(child, finding.op_type)]
    if finding.file and finding.line and len(found) > 1:
        offset = finding.line - (statement_line(finding) or finding.line)
        found = [child for child in found if child.lineno == 1 + offset] or found
    if not found:
        return None
    exact = [child for child in found if finding.columns and ast.get_source_segment(text, child) == _marked(finding)]
    target = min(exact or found, key=lambda child: (about_labels(ast.unparse(child)), len(ast.unparse(child))))
    whole = _with_cast(node, target)
    expression = ast.get_source_segment(text, whole)
    operands = tuple(ast.get_source_segment(text, part) or ast.unparse(part) for part in _operands(target))
    if expression is None:
        return None
    short = text.count("\n") < _MOST_LINES
    return Place(text if short else None, expression, operands, _under_operator(node, whole))


def statement_line(finding) -> int | None:
    """The line on which the statement begins that a finding's line belongs to."""
    node = _innermost(finding)
    return node.lineno if node is not None else None


def calls_in(finding) -> list[str]:
    """The dotted names of all calls in the finding's statement: `np.mean`, `pred.numpy`, `tf.constant`."""
    statement = _statement(finding)
    if statement is None:
        return []
    calls = [node.func for node in ast.walk(statement[1]) if isinstance(node, ast.Call)]
    return [name for name in map(_dotted, calls) if name]


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else node.attr
    return ""


def _statement(finding) -> tuple[str, ast.AST] | None:
    """The text, without indentation, and the tree of the finding's statement; of a block, its head only."""
    if finding.file and finding.line:
        node = _innermost(finding)
        if node is not None:
            source = source_text(finding.file)
            head = node
            for field in ("test", "iter", "subject"):
                head = getattr(node, field, head)
            if isinstance(node, (ast.With, ast.AsyncWith)):
                head = node.items[0].context_expr
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try)):
                return None
            text = ast.get_source_segment(source, head, padded=True)
            if text:
                return _reparsed(text)
    return _reparsed(finding.code) if finding.code else None


def _reparsed(text: str) -> tuple[str, ast.AST] | None:
    text = textwrap.dedent(text).strip()
    for candidate in (text, f"({text})", f"{text} pass", f"{text}\n pass"):
        try:
            return candidate, ast.parse(candidate)
        except (SyntaxError, ValueError):  # part of a statement, or a block's head: the next form may do
            continue
    return None


def _innermost(finding) -> ast.stmt | None:
    tree = parsed(finding.file) if finding.file else None
    if tree is None:
        return None
    around = [
        node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno <= finding.line <= node.end_lineno
    ]
    return min(around, key=lambda node: (node.end_lineno - node.lineno, -node.col_offset), default=None)


def _marked(finding) -> str:
    return line_at(finding.file, finding.line)[slice(*finding.columns)] if finding.file else ""


def _with_cast(tree: ast.AST, target: ast.expr) -> ast.expr:
    """The cast around a comparison or an argmax, which goes with it; else the expression itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node is not target:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            inside = [*node.args[:1], *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
            if name in _CASTS and any(part is target for part in inside):
                return node
    return target


def in_brackets(expression: str) -> str:
    """The expression, in brackets if it is a sum, a comparison or the like."""
    try:
        node = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError):  # a keyword or a starred argument: stays as it is
        return expression
    loose = (ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp, ast.IfExp, ast.Lambda)
    return f"({expression})" if isinstance(node, loose) else expression


def _under_operator(tree: ast.AST, target: ast.expr) -> bool:
    operators = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Attribute, ast.Subscript)
    return any(
        child is target
        for node in ast.walk(tree)
        if isinstance(node, operators)
        for child in ast.iter_child_nodes(node)
    )


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    if isinstance(node, ast.Call):
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if node.args:
            return list(node.args)
        return [keyword.value for keyword in node.keywords[:1]] or ([owner] if owner is not None else [])
    return []
