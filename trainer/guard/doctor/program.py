"""A training program as data: the arguments of `compile` and `fit`, as arrays, with their sizes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_MOST_BYTES = 256 << 20  # this much of a data set is read; only parts of arrays are examined


@dataclasses.dataclass(frozen=True)
class Program:
    """What is trained, and how.

    Attributes:
      model, loss, optimizer, metrics: as for `compile`.
      x, y: arrays or structures of them, rows first.
      rows: examples in an epoch; None if a data set does not know.
      batch_size, epochs: as for `fit`; epochs is None if not given.
      validation: (x, y) or None.
      sample_weight: one a row, or None.
      shuffled: whether `fit` shuffles the rows; a data set's rows keep their order.
    """

    model: keras.Model
    loss: Any
    optimizer: keras.optimizers.Optimizer
    x: Any
    y: Any
    rows: int | None
    batch_size: int
    epochs: int | None
    validation: tuple[Any, Any] | None
    metrics: Any = None
    sample_weight: Any = None
    shuffled: bool = True

    @property
    def held(self) -> int:
        """Rows at hand."""
        return len(keras.tree.flatten(self.x)[0])

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil((self.rows or self.held) / self.batch_size)

    @property
    def updates(self) -> int | None:
        """Steps of the whole training; None if the epochs are unknown."""
        return self.steps_per_epoch * self.epochs if self.epochs else None

    def batch(self, most: int = 256) -> tuple[Any, Any]:
        """Rows spread evenly over the data, as tensors."""
        count = self.held
        rows = np.sort(np.random.default_rng(0).permutation(count)[: min(most, count)])
        return tensors(taken(self.x, rows)), tensors(taken(self.y, rows))


def program_of(
    model,
    loss,
    optimizer,
    x,
    y,
    batch_size=None,
    epochs=None,
    validation=None,
    metrics=None,
    sample_weight=None,
    shuffle=True,
) -> Program:
    """Brings the arguments of `compile` and `fit` into one form.

    Raises:
      ValueError: there is no loss, no data or no model, or x and y differ in length.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"diagnose() looks at a keras.Model. Received: model={model!r}")
    if loss is None and model.compiled:
        loss = getattr(model, "loss", None)
    if optimizer is None and model.compiled:
        optimizer = model.optimizer
    if loss is None:
        raise ValueError(
            "diagnose() needs a loss: give it one, or compile the model with one first.\n"
            "    diagnose(model, 'binary_crossentropy', 'adam', x, y)\nReceived: loss=None"
        )
    optimizer = keras.optimizers.get("rmsprop" if optimizer is None else optimizer)
    if x is None:
        raise ValueError("diagnose() needs data: diagnose(model, loss, optimizer, x, y). Received: x=None")
    rows, from_dataset = None, isinstance(x, tf.data.Dataset)
    if from_dataset:
        x, y, sample_weight, size, rows = _read(x, batch_size)
        batch_size = size
    x, y = _arrays(x), _arrays(y)
    lengths = {len(array) for array in keras.tree.flatten((x, y)) if array is not None}
    if len(lengths) > 1:
        raise ValueError(f"x and y hold different numbers of examples: {', '.join(map(str, sorted(lengths)))}")
    if isinstance(validation, tf.data.Dataset):
        validation = _read(validation, None)[:2]
    elif validation is not None:
        validation = _arrays(validation[0]), _arrays(validation[1])
    rows = rows or (None if from_dataset else lengths.pop())
    return Program(
        model,
        loss,
        optimizer,
        x,
        y,
        rows,
        int(batch_size or 32),
        epochs,
        validation,
        metrics,
        None if sample_weight is None else _arrays(sample_weight),
        bool(shuffle) and not from_dataset,
    )


def taken(structure: Any, rows: np.ndarray) -> Any:
    """These rows of every array of a structure."""
    return keras.tree.map_structure(lambda array: None if array is None else array[rows], structure)


def tensors(structure: Any) -> Any:
    """Arrays as the tensors that `fit` makes of them: double precision becomes Keras's float type."""

    def tensor(array):
        if array is None or tf.is_tensor(array):
            return array
        kept = array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array
        return tf.convert_to_tensor(kept)

    return keras.tree.map_structure(tensor, structure)


def _arrays(structure: Any) -> Any:
    if isinstance(structure, (list, tuple)) and structure and not hasattr(structure[0], "shape"):
        if isinstance(structure[0], (int, float, bool, list)):
            return np.asarray(structure)
    return keras.tree.map_structure(lambda part: None if part is None else np.asarray(part), structure)


def _read(dataset: tf.data.Dataset, batch_size: int | None) -> tuple[Any, Any, Any, int, int | None]:
    """Arrays of a data set, up to a limit: x, y, sample weights, the batch size, and the number of rows."""
    batches, size, room, ended = [], None, _MOST_BYTES, True
    for batch in dataset:
        flat = [np.asarray(part) for part in tf.nest.flatten(batch)]
        size = size or (len(flat[0]) if flat[0].ndim else 1)
        batches.append(batch)
        room -= sum(part.nbytes for part in flat)
        if room < 0 or len(batches) >= 2000:
            ended = False
            break
    if not batches:
        raise ValueError("diagnose() needs data, and the data set that it got is empty.")
    structure = batches[0]
    columns = zip(*(tf.nest.flatten(batch) for batch in batches), strict=True)
    whole = tf.nest.pack_sequence_as(structure, [np.concatenate([np.asarray(part) for part in c]) for c in columns])
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(whole)
    held = len(tf.nest.flatten(x)[0])
    cardinality = int(dataset.cardinality())
    rows = held if ended else cardinality * size if cardinality > 0 else None
    return x, y, sample_weight, batch_size or size, rows
