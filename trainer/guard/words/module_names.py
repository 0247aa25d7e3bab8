"""The names that a user's module has for TensorFlow, Keras and its metrics."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Sequence
from types import FunctionType
from typing import Any

import keras
import tensorflow as tf


def metrics_of(functions: Sequence[FunctionType]) -> dict[str, str]:
    """The names that these functions have for Keras metric objects, with the class of each."""
    found: dict[str, Any] = dict(functions[0].__globals__)
    for function in functions:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # a name that is not assigned yet
                found[name] = cell.cell_contents
    return {name: type(value).__name__ for name, value in found.items() if isinstance(value, keras.metrics.Metric)}


class ModuleNames:
    """A module's own names for TensorFlow and Keras, to replace `tf`."""

    def __init__(self, known: dict[str, Any]):
        self._tf = next((name for name, value in known.items() if value is tf), None)
        self._keras = next((name for name, value in known.items() if value is keras), None)
        self._ops = next((name for name, value in known.items() if value is keras.ops), None)

    @property
    def has_tensorflow(self) -> bool:
        """Whether the module calls TensorFlow `tf`."""
        return self._tf == "tf"

    def fitting(self, code: str) -> str | None:
        """The code with the module's names; None where it has none for a function."""
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
