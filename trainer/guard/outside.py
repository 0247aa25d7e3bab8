"""Tensors that the loss takes from before the tape: by what name, made on which line, from data or by a model."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import linecache
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.guard.frames import Site, is_user_file
from trainer.guard.lineage import Lineage
from trainer.guard.trace import differentiable, key

_DATA_ROOTS = ("np", "numpy", "tf", "tensorflow", "ops", "random")


@dataclasses.dataclass(frozen=True)
class Outside:
    """A tensor computed before the tape was opened."""

    name: str | None
    site: Site | None

    @property
    def words(self) -> str:
        what = f"`{self.name}`" if self.name else "A tensor that the loss is made from"
        return f"{what} was computed before the tape was opened; to the tape it is a constant."


def computed_before(recording, lineage: Lineage, forward_loss, certain: bool = False) -> Outside | None:
    """The newest tensor among the loss's ancestors that some model computed before this forward pass.

    Args:
      certain: only where the line that made it is found, and calls something other than TensorFlow or NumPy; otherwise
        any floating-point tensor from before the run that is not known to be plain data will do.
    """
    trace = recording.trace
    old = [
        trace.tensors[k]
        for k in lineage.distance
        if 0 <= k < trace.began and k not in trace.producers and k in trace.tensors
        and differentiable(trace.tensors[k]) and trace.tensors[k].dtype not in (tf.resource, tf.variant)
    ]  # fmt: skip
    unknown = None
    for tensor in sorted(old, key=key, reverse=True):
        name = next((name for name, value in _names(forward_loss) if value is tensor), None)
        site, is_data = _made(forward_loss, name) if name else (None, None)
        if is_data is False:
            return Outside(name, site)
        if is_data is None and tensor.shape.rank != 0 and unknown is None:
            unknown = Outside(name, site)
    return None if certain else unknown


def _names(function) -> Iterator[tuple[str, Any]]:
    """Names that a function can see, and what they stand for."""
    function = inspect.unwrap(getattr(function, "python_function", function))
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        yield name, value
        if isinstance(value, dict):
            yield from ((key_, part) for key_, part in value.items() if isinstance(key_, str))
        elif isinstance(value, (list, tuple)):
            yield from ((name, part) for part in value)
    for name in code.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]
    yield from zip(inspect.signature(function).parameters, function.__defaults__ or (), strict=False)


def _made(forward_loss, name: str) -> tuple[Site | None, bool | None]:
    """The line that last assigned a name around `forward_loss`, and whether its right-hand side is plain data."""
    code = getattr(inspect.unwrap(forward_loss), "__code__", None)
    if code is None or not is_user_file(code.co_filename):
        return None, None
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        return None, None
    found = None
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and name in _assigned(node.targets):
            near = abs(node.lineno - code.co_firstlineno)
            if found is None or near < abs(found.lineno - code.co_firstlineno):
                found = node
    if found is None:
        return None, None
    calls = [call.func for call in ast.walk(found.value) if isinstance(call, ast.Call)]
    computed = [call for call in calls if _root(call) not in _DATA_ROOTS and not _is_method(call)]
    return Site(code.co_filename, found.lineno), (not computed if calls else None)


def _assigned(targets) -> set[str]:
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _root(function: ast.expr) -> str | None:
    while isinstance(function, ast.Attribute):
        function = function.value
    return function.id if isinstance(function, ast.Name) else None


def _is_method(function: ast.expr) -> bool:
    """`r.rand(5).astype(...)`: a method of a random state or of an array, not of a model."""
    return isinstance(function, ast.Attribute) and function.attr in (
        "astype", "rand", "randn", "random", "normal", "uniform", "randint", "reshape", "copy", "numpy", "standard_normal",
    )  # fmt: skip
