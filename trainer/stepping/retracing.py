"""Notices when a compiled function is traced again: seconds of every such call go by without training."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def warn_of_retracing(function: tf.types.experimental.PolymorphicFunction, tell: Callable[[str], None]) -> Callable:
    """Wraps a `tf.function` so that each trace after its first call is told, with what changed in its arguments."""
    before: list[dict[str, str]] = []

    def call(*arguments):
        count = function.experimental_get_tracing_count()
        result = function(*arguments)
        signature = _signature(arguments)
        if before and function.experimental_get_tracing_count() > count:
            changed = [f"{name}: {before[0].get(name)} -> {now}" for name, now in signature.items()
                       if before[0].get(name) != now]  # fmt: skip
            why = "; ".join(changed) or "its arguments look the same, so something that it reads from Python changed"
            tell(
                f"warning: {function.__name__} was traced again, which takes seconds each time (trace "
                f"{function.experimental_get_tracing_count()}): {why}"
            )
        before[:] = [signature]
        return result

    return call


def _signature(arguments) -> dict[str, str]:
    """Type and shape of each tensor that goes in, by a name that a user knows; those of an iterator's elements too."""
    found = {}
    for position, argument in enumerate(arguments):
        spec = getattr(argument, "element_spec", None)
        if spec is None:
            found[f"argument {position}"] = _text(argument)
        elif isinstance(spec, dict):
            found |= {f'the batch\'s "{key}"': _text(value) for key, value in spec.items()}
        else:
            found["the batch"] = _text(spec)
    return found


def _text(value) -> str:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{tf.as_dtype(value.dtype).name} {value.shape}"
    return str(value) if isinstance(value, tf.TypeSpec) else repr(value)
