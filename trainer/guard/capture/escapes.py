"""Where tensors leave TensorFlow: `.numpy()`, `float()`, `np.mean(tensor)`, `np.asarray(tensor)`, `tf.py_function`.

A tensor does not remember that Python read it, so during a recorded run the ways out are watched: the
methods of TensorFlow's eager tensor, NumPy's own protocols for foreign arrays, and the functions that make arrays
(which read the tensor's memory directly, past every method). All are put back at the end.
"""

from __future__ import annotations

import contextlib
import dis
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from .private import EagerFunc, script_ops
from .private import EagerTensor as _Eager

_MAKERS = ("array", "asarray", "asanyarray", "ascontiguousarray")
_REFLECTED = {
    "add": "__radd__",
    "subtract": "__rsub__",
    "multiply": "__rmul__",
    "divide": "__rtruediv__",
    "true_divide": "__rtruediv__",
    "floor_divide": "__rfloordiv__",
    "remainder": "__rmod__",
    "power": "__rpow__",
    "matmul": "__rmatmul__",
    "less": "__gt__",
    "less_equal": "__ge__",
    "greater": "__lt__",
    "greater_equal": "__le__",
    "equal": "__eq__",
    "not_equal": "__ne__",
    "bitwise_and": "__rand__",
    "bitwise_or": "__ror__",
    "bitwise_xor": "__rxor__",
}

Seen = Callable[[object, str], None]  # (the tensor, the way out)
Nudge = Callable[[np.ndarray], np.ndarray]


@contextlib.contextmanager
def watching(seen: Seen, nudge: Nudge | None = None) -> Iterator[None]:
    """Calls `seen` for each tensor that Python or NumPy reads; `nudge` may change the value that is read."""
    raw = _Eager._numpy

    def value_of(tensor):
        value = raw(tensor)
        return nudge(value) if nudge else value

    def read(self):
        seen(self, _way_of(sys._getframe(1).f_code.co_name))
        return value_of(self)

    def array_function(self, function, types, args, kwargs):
        return _as_numpy(function, args, kwargs, f"np.{function.__name__}()")

    def array_ufunc(self, ufunc, method, *inputs, **kwargs):
        name = _REFLECTED.get(ufunc.__name__)
        if method == "__call__" and name and not kwargs and _is_operator(sys._getframe(1)):
            return getattr(inputs[1], name)(inputs[0])  # `array + tensor` stays in TensorFlow, as without the guard
        return _as_numpy(
            ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs, f"np.{ufunc.__name__}()"
        )

    def _as_numpy(function, args, kwargs, way):
        def convert(part):
            if isinstance(part, _Eager):
                seen(part, way)
                return value_of(part)
            return part

        args, kwargs = tf.nest.map_structure(convert, (list(args), dict(kwargs)))
        return function(*args, **kwargs)

    def maker(original):
        def make(*args, **kwargs):
            if args and isinstance(args[0], _Eager):
                seen(args[0], f"np.{original.__name__}()")
                args = (value_of(args[0]), *args[1:])
            elif args and isinstance(args[0], (list, tuple)) and any(isinstance(part, _Eager) for part in args[0]):
                args = (_listed(args[0], seen, value_of, original.__name__), *args[1:])
            return original(*args, **kwargs)

        return make

    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(_Eager, "_numpy", read))
        stack.enter_context(replaced(_Eager, "__array_function__", array_function))
        stack.enter_context(replaced(_Eager, "__array_ufunc__", array_ufunc))
        for name in _MAKERS:
            stack.enter_context(replaced(np, name, maker(getattr(np, name))))
        yield


@contextlib.contextmanager
def counting(seen: Seen) -> Iterator[None]:
    """Calls `seen` where Python counts the rows of a tensor of integers or booleans, whose number was computed."""
    plain = _Eager.__len__

    def count(self):
        if not self.dtype.is_floating and not self.dtype.is_complex:
            seen(self, "len()")
        return plain(self)

    with replaced(_Eager, "__len__", count):
        yield


@contextlib.contextmanager
def script_functions(mark: Callable, called: Callable, entered: Callable) -> Iterator[None]:
    """Reports `tf.numpy_function` (an op in a graph, a plain call when eager) and what runs in `tf.py_function`."""
    as_numpy, run_eagerly = script_ops.py_func_common, EagerFunc.__call__

    def common(func, inp, *args, **kwargs):
        inputs, since = [tf.convert_to_tensor(part) for part in inp], mark()
        outputs = as_numpy(func, inputs, *args, **kwargs)
        called("PyFunc", tuple(inputs), tuple(t for t in tf.nest.flatten(outputs) if tf.is_tensor(t)), since)
        return outputs

    def call(self, device, token, args):
        since = mark()
        outputs = run_eagerly(self, device, token, args)
        entered(tuple(args), tuple(t for t in tf.nest.flatten(outputs) if tf.is_tensor(t)), since)
        return outputs

    with replaced(script_ops, "py_func_common", common), replaced(EagerFunc, "__call__", call):
        yield


def nudged(value):
    """Another value of the same type and shape, for floats; integers may be indices and stay."""
    array = np.asarray(value)
    if array.dtype.kind not in "fc":
        return value
    moved = (array * 1.25 + 0.0625).astype(array.dtype)
    return moved if isinstance(value, np.ndarray) else moved[()]


def _listed(parts, seen, value_of, name):
    converted = []
    for part in parts:
        if isinstance(part, _Eager):
            seen(part, f"np.{name}()")
            part = value_of(part)
        converted.append(part)
    return converted


def _way_of(method: str) -> str:
    return {"numpy": ".numpy()", "__array__": "NumPy", "__format__": "formatting"}.get(method, f"{method.strip('_')}()")


def _is_operator(frame) -> bool:
    """Whether the frame is at an operator (`a + b`, `a < b`) and not at a call (`np.add(a, b)`)."""
    name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
    return "CALL" not in name and "PRECALL" not in name


@contextlib.contextmanager
def replaced(owner, name: str, new) -> Iterator[None]:
    missing = object()
    old = owner.__dict__.get(name, missing)
    setattr(owner, name, new)
    try:
        yield
    finally:
        if old is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, old)
