"""A recorded step, run again: `python -m …flight FOLDER`. What records it is `flight_recorder.py`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .flight_recorder import ARRAYS, MODEL, RECORD, Box, norm_over_all, reported, variables_of
from .keras_model import explain_model
from .words.finding import Report


@dataclasses.dataclass(frozen=True)
class Replayed:
    """A recorded step, run again.

    Attributes:
      norms: the norm of the gradient, by variable.
      norm: over all of them.
      recorded: what the recorder measured.
      same: whether both agree within a thousandth, or both are not finite.
      report: the guard's report on it.
    """

    norms: dict[str, float]
    norm: float
    recorded: float
    same: bool
    report: Report


def replay(
    folder: str, model: keras.Model | None = None, optimizer: Any = None, step: Callable[[Any], Any] | None = None
) -> Replayed:
    """Runs a recorded step again, with the same weights and batch, under the guard.

    Args:
      folder: what a `FlightRecorder` has written.
      model: the compiled model, with any weights; None loads the folder's `model.keras`.
      optimizer, step: of a loop of your own: what `FlightRecorder.step` had. A `tf.function` is run eagerly.

    Raises:
      FileNotFoundError: the folder holds no recorded step.
      ValueError: the model has other variables than the recorded one; the text names them.
    """
    with open(os.path.join(folder, RECORD), encoding="utf-8") as file:
        record = json.load(file)
    model = model if model is not None else keras.saving.load_model(os.path.join(folder, MODEL))
    with np.load(os.path.join(folder, ARRAYS)) as arrays:
        state = {name[6:]: arrays[name] for name in arrays.files if name.startswith("state/")}
        parts = [arrays[f"batch/{i}"] for i in range(sum(name.startswith("batch/") for name in arrays.files))]
    data = _packed(record["structure"], iter(parts))
    _restore(model, optimizer, state)
    box = Box()
    with box.at_apply():
        answer = type(model).train_step(model, data) if step is None else getattr(step, "python_function", step)(data)
    norms = {path: float(norm) for path, norm in {**box.norms(), **reported(answer)}.items()}
    _restore(model, optimizer, state)
    whole = norm_over_all(norms)
    both = np.isfinite(whole), np.isfinite(record["norm"])
    same = not any(both) or all(both) and abs(whole - record["norm"]) <= 1e-3 * max(abs(record["norm"]), 1e-12)
    try:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        report = explain_model(model, None, x, y, sample_weight=weight)
    except ValueError as error:  # a step of its own, without a loss that compile knows
        report = Report((), len(norms), notes=(str(error),))
    return Replayed(norms, whole, record["norm"], same, report)


def _restore(model: keras.Model, optimizer: Any, state: dict[str, np.ndarray]) -> None:
    own = optimizer if optimizer is not None else getattr(model, "optimizer", None)
    if own is not None and not own.built:
        own.build(model.trainable_variables)
    variables = variables_of(model, optimizer)
    shapes = [tuple(variable.shape) for variable in variables]
    wanted = [tuple(value.shape) for value in state.values()]
    if shapes != wanted:
        here, there = [v.path for v in variables], [name.partition(":")[2] for name in state]
        raise ValueError(
            f"The model has {len(here)} variables and the recorded one {len(there)}, or their shapes differ.\n"
            f"  only here: {sorted(set(here) - set(there))}\n  only recorded: {sorted(set(there) - set(here))}"
        )
    for variable, value in zip(variables, state.values(), strict=True):
        variable.assign(value)


def _packed(structure, parts: Iterator[np.ndarray]):
    if structure == "tensor":
        return tf.convert_to_tensor(next(parts))
    if isinstance(structure, dict):
        ((kind, inner),) = structure.items()
        if kind == "dict":
            return {key: _packed(inner[key], parts) for key in sorted(inner)} if inner else {}
        items = [_packed(part, parts) for part in inner]
        return tuple(items) if kind == "tuple" else items
    return None


def main(arguments: list[str] | None = None) -> int:
    """Runs a recorded step again and prints the guard's report; returns 0 where both agree, else 1."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.flight", description=main.__doc__)
    parser.add_argument("folder")
    parser.add_argument("--model", help="module:function that returns the compiled model")
    given = parser.parse_args(arguments)
    model = None
    if given.model:
        module, _, function = given.model.partition(":")
        sys.path.insert(0, os.getcwd())
        model = getattr(importlib.import_module(module), function)()
    found = replay(given.folder, model)
    print(found.report)
    print(
        f"\ngradient norm {found.norm:.6g}, recorded {found.recorded:.6g}: {'the same' if found.same else 'DIFFERENT'}"
    )
    return 0 if found.same else 1


if __name__ == "__main__":
    sys.exit(main())
