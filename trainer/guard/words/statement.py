"""The user's statement as a syntax tree: what it calls."""

from __future__ import annotations

import ast
import textwrap

from .source import parsed, source_text


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
    """The text, without indentation, and the tree of the finding's statement; for a block, only its head."""
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
        except (SyntaxError, ValueError):  # part of a statement, or a block's head: the next form may parse
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
