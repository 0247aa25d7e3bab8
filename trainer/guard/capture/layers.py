"""Which of Keras's own layers an op ran in, and the user's line that made that layer."""

from __future__ import annotations

import ast
import os
import sys
from types import FrameType
from typing import Any

import keras

from ..words.source import parsed
from .frames import Site, is_user_file

_FUNCTIONAL = os.path.join("keras", "src", "models", "functional.py")
_CALL = os.path.join("keras", "src", "layers", "layer.py")


def running_layer(frame: FrameType | None = None) -> Any:
    """The innermost layer that is running, if it is one of Keras's own and no user code runs inside of it."""
    frame = frame or sys._getframe(1)
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        if frame.f_code.co_name == "__call__" and frame.f_code.co_filename.endswith(_CALL):
            layer = frame.f_locals.get("self")
            if isinstance(layer, keras.Model):
                return None
            return layer if type(layer).__module__.startswith("keras.") else None
        frame = frame.f_back
    return None


def described(layer: Any) -> str:
    """`the layer 'mask' (Dense, activation relu)`."""
    activation = getattr(getattr(layer, "activation", None), "__name__", None)
    ending = f", activation {activation}" if activation and activation != "linear" else ""
    return f"the layer '{layer.name}' ({type(layer).__name__}{ending})"


def made_at(layer: Any, files: list[str]) -> Site | None:
    """The line that made a layer: the call of its class with its name, or the only call with its settings."""
    calls = [
        (file, node)
        for file in dict.fromkeys(files)
        for node in ast.walk(parsed(file) or ast.Module([], []))
        if isinstance(node, ast.Call) and _called(node) == type(layer).__name__
    ]
    named = [(file, node) for file, node in calls if _given(node).get("name") == layer.name and _fits(node, layer)]
    fitting = [(file, node) for file, node in calls if "name" not in _given(node) and _fits(node, layer)]
    found = named or fitting
    if len(found) != 1:
        return None
    file, node = found[0]
    return Site(file, node.lineno)


def variable_made_at(path: str, files: list[str]) -> Site | None:
    """The one line that made a variable of this name: `tf.Variable(0.5, name="gate")`, or `gate = tf.Variable(0.5)`."""
    wanted = path.rpartition("/")[2].partition(":")[0]
    found = []
    for file in dict.fromkeys(files):
        for node in ast.walk(parsed(file) or ast.Module([], [])):
            if isinstance(node, ast.Call) and _called(node) in ("Variable", "add_weight"):
                if _given(node).get("name") == wanted:
                    found.append((file, node.lineno))
    return Site(*found[0]) if len(found) == 1 else None


def in_functional_model(frame: FrameType | None) -> bool:
    """Whether a functional model runs an operation of its graph, without a user's line nearer to it."""
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        if frame.f_code.co_filename.endswith(_FUNCTIONAL):
            return True
        frame = frame.f_back
    return False


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _given(node: ast.Call) -> dict[str, Any]:
    """The keywords that are written as plain values; True for others."""
    return {k.arg: k.value.value if isinstance(k.value, ast.Constant) else True for k in node.keywords if k.arg}


def _fits(node: ast.Call, layer: Any) -> bool:
    config = {
        **{name: getattr(layer, name, None) for name in ("units", "filters", "rate")},
        "activation": getattr(getattr(layer, "activation", None), "__name__", None),
    }
    given = _given(node)
    first = [part.value for part in node.args[:1] if isinstance(part, ast.Constant)]
    placed = [part.value for part in node.args[:2] if isinstance(part, ast.Constant)]
    activation = given.get("activation") or next((v for v in placed if isinstance(v, str)), None) or "linear"
    sizes = {config["units"], config["filters"], config["rate"]} - {None}
    same_size = not first or not sizes or isinstance(first[0], str) or first[0] in sizes
    return same_size and (config["activation"] is None or activation in (config["activation"], True))
