"""Another argument of a Keras layer, tried on the live layers: an activation, a rate, a first value."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import gc
import re
from collections.abc import Iterator
from typing import Any

import keras

from ..capture.layers import made_at
from ..capture.state import subclasses
from .candidates import name_of
from .finding import Finding

# Activations to try for one that has died or saturated; the first that helps is shown.
_ACTIVATIONS = {
    "relu": ("leaky_relu", "softplus", "elu"),
    "relu6": ("leaky_relu", "softplus"),
    "hard_sigmoid": ("sigmoid", "softsign"),
    "hard_tanh": ("tanh", "softsign"),
    "tanh": ("softsign",),
    "sigmoid": ("softsign",),
    "softmax": ("sigmoid",),
    "sparsemax": ("softmax",),
}


@dataclasses.dataclass(frozen=True)
class LayerChange:
    """A new argument for a call that makes a layer.

    Attributes:
      statement, node: the statement of the call, and the expression in it to be replaced.
      code: the new argument, as written.
      layers: the live layers that the call may have made.
      attribute, value: set on them for the trial; an initializer is run instead.
    """

    statement: ast.stmt
    node: ast.expr
    code: str
    layers: tuple[Any, ...]
    attribute: str
    value: Any

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Inside, the layers are changed; the caller has to put variables back."""
        if self.attribute == "kernel":
            for layer in self.layers:
                layer.kernel.assign(self.value(layer.kernel.shape, layer.kernel.dtype))
            yield
            return
        before = [getattr(layer, self.attribute) for layer in self.layers]
        for layer in self.layers:
            setattr(layer, self.attribute, self.value)
        try:
            yield
        finally:
            for layer, old in zip(self.layers, before, strict=True):
                setattr(layer, self.attribute, old)


def layer_changes(finding: Finding, statement: ast.stmt, line: int) -> Iterator[LayerChange]:
    """Changes of a layer made on a line of a statement."""
    for call in ast.walk(statement):
        if isinstance(call, ast.Call) and call.lineno <= line <= (call.end_lineno or 0):
            layers = _alive(call)
            if layers:
                yield from _of_activation(call, statement, layers)
                yield from _of_start(finding, call, statement, layers)
                yield from _of_rate(call, statement, layers)


def layers_named(detail: str, file: str) -> list[int]:
    """The lines that made the layers named in a finding's detail: `the layer 'hidden' (Dense, …)`."""
    names = set(re.findall(r"the layer '([^']+)'", detail))
    kinds = subclasses(keras.Layer)
    layers = [thing for thing in gc.get_objects() if type(thing) in kinds] if names else []
    places = [made_at(layer, [file]) for layer in layers if layer.name in names]
    return list(dict.fromkeys(place.line for place in places if place is not None))


def _alive(call: ast.Call) -> tuple[Any, ...]:
    """The live Keras layers that a call may have made: of its class, and with its name if it has one."""
    named = next((k.value.value for k in call.keywords if k.arg == "name" and isinstance(k.value, ast.Constant)), None)
    wanted = name_of(call)
    if not wanted[:1].isupper():
        return ()
    kinds = {kind for kind in subclasses(keras.Layer) if kind.__name__ == wanted}
    return tuple(thing for thing in gc.get_objects() if type(thing) in kinds and (not named or thing.name == named))


def _of_activation(call: ast.Call, statement: ast.stmt, layers) -> Iterator[LayerChange]:
    strings = [k.value for k in call.keywords if k.arg == "activation"]
    strings += [part for part in call.args[:2] if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    for node in strings[:1]:
        old = node.value if isinstance(node, ast.Constant) else getattr(node, "attr", None)
        mine = tuple(layer for layer in layers if getattr(getattr(layer, "activation", None), "__name__", None) == old)
        for new in _ACTIVATIONS.get(old, ()) if mine else ():
            yield LayerChange(statement, node, f'"{new}"', mine, "activation", keras.activations.get(new))


def _of_start(finding: Finding, call: ast.Call, statement: ast.stmt, layers) -> Iterator[LayerChange]:
    if finding.op_type not in ("MatMul", "Conv2D", "Conv1D", "Conv3D", "BatchMatMulV2", "Einsum"):
        return
    node = next((k.value for k in call.keywords if k.arg == "kernel_initializer"), None)
    mine = tuple(layer for layer in layers if getattr(layer, "kernel", None) is not None)
    if node is not None and mine:
        start = keras.initializers.GlorotUniform(seed=0)
        yield LayerChange(statement, node, '"glorot_uniform"', mine, "kernel", start)


def _of_rate(call: ast.Call, statement: ast.stmt, layers) -> Iterator[LayerChange]:
    if "Dropout" not in name_of(call):
        return
    node = next((k.value for k in call.keywords if k.arg == "rate"), next(iter(call.args), None))
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and node.value > 0.5:
        mine = tuple(layer for layer in layers if getattr(layer, "rate", None) == node.value)
        if mine:
            yield LayerChange(statement, node, "0.5", mine, "rate", 0.5)
