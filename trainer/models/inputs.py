"""The parts of a batch with which a model is called."""

from __future__ import annotations

import dataclasses
import linecache
import os
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.errors import UserError


def input_names(model: keras.Model) -> tuple[str, ...]:
    """The keys of a batch that the model takes: the names of its inputs if it has several, otherwise "image"."""
    inputs = getattr(model, "inputs", None) or ()
    return ("image",) if len(inputs) <= 1 else tuple(tensor.name for tensor in inputs)


def call_model(model: keras.Model, batch: Mapping[str, tf.Tensor], *, training: bool) -> Any:
    """Calls the model with "image", or, if it has several inputs, with the keys of their names.

    Raises:
      UserError: the batch has no such key.
    """
    names = input_names(model)
    missing = [name for name in names if name not in batch]
    if missing:
        raise UserError(
            f"The model {model.name!r} has the inputs {', '.join(names)}, and the examples have "
            f"{', '.join(key for key in batch if key != 'index')}: {', '.join(missing)} is missing.\n  Name the inputs "
            f"as the examples' keys: keras.Input(shape, name={next(iter(batch))!r})."
        )
    inputs = batch[names[0]] if len(names) == 1 else {name: batch[name] for name in names}
    return model(inputs, training=training)


@dataclasses.dataclass(frozen=True)
class SizeTrouble:
    """Why a model that takes images of one size must not be called on those of another.

    place, code, error: the line that cannot be traced for an unknown size, and its error; or only an error, in words:
      the effect of another size.
    """

    error: str
    place: str = ""
    code: str = ""

    def __str__(self) -> str:
        if not self.place:
            return self.error
        return f"the model computes with sizes in Python, {self.place}: {self.code} ({self.error})"


def size_trouble(model: keras.Model, channels: int, size: tuple[int, ...]) -> SizeTrouble | None:
    """Why a model cannot take images of any size, although it takes those of `size`.

    `x.shape[1] // 2` is the usual case: Python arithmetic on a size, instead of which tf.shape(x)[1] // 2 always works.
    Others have a dense layer over all pixels, or shrink an image by a factor that does not divide its sides.
    """
    if hasattr(model, "size_multiples") or len(input_names(model)) > 1:
        return None  # a built-in network, or one of several inputs, of whose other sizes nothing is known
    # A functional model was called with unknown sizes when it was made.
    if not getattr(model, "inputs", None):
        error = _tracing_error(model, (1, *(None,) * len(size), channels))
        if error is not None:
            if _tracing_error(model, (1, *size, channels)) is not None:
                return None
            place, code = users_line(error)
            return SizeTrouble(said_by(error), place, code)
    other = tuple(32 * (side // 32 + 1) for side in size)  # whole images are padded to a multiple of 32
    # Traced, since Keras infers shapes of single layers: a Concatenate compares none.
    error = _tracing_error(model, (1, *other, channels))
    if error is not None:
        return SizeTrouble(f"the model does not take images of {by(other)} ({said_by(error)})")
    made = space_made(model, channels, other)
    if made != other and space_made(model, channels, size) == tuple(size):
        return SizeTrouble(f"of images of {by(other)} pixels the model makes {by(made)}")
    return None


def space_made(model: keras.Model, channels: int, size: tuple[int, ...]) -> tuple[int, ...]:
    """The sides of a model's output for images with these sides; of several outputs, the first's."""
    spec = keras.tree.flatten(model.compute_output_spec(keras.KerasTensor((1, *size, channels), "float32")))[0]
    return tuple(spec.shape[1:-1])


def by(sides: tuple[int | None, ...]) -> str:
    """Sides for a message: "24 x 32"."""
    return " x ".join(map(str, sides))


def _tracing_error(model: keras.Model, shape: tuple) -> Exception | None:
    try:
        tf.function(lambda image: model(image, training=False)).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    except Exception as error:  # the user's code may raise anything
        return error
    return None


def said_by(error: BaseException) -> str:
    """An exception's message in one line, without Keras's frame and list of arguments."""
    text = re.sub(r"\x1b\[\d*m", "", str(error)).partition("Arguments received by")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    last = lines[-1]
    return last if last.startswith(type(error).__name__) else f"{type(error).__name__}: {last}"


def is_users(file: str) -> bool:
    """Whether a file is neither installed nor part of this project."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    installed = (ours + os.sep, sys.prefix + os.sep, os.path.dirname(os.__file__) + os.sep)
    return os.path.isfile(file) and not file.startswith(installed) and "site-packages" not in file


def users_line(error: BaseException) -> tuple[str, str]:
    """Where in the user's own code an exception was raised: "file:line" and the line; or empty."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    # The exception has the original lines behind TensorFlow's generated code, without a public accessor.
    kept = getattr(getattr(error, "ag_error_metadata", None), "translated_stack", ())
    frames += [(frame.filename, frame.lineno) for frame in reversed(kept)]
    users = [(name, line) for name, line in frames if is_users(name)]
    if not users:
        return "", ""
    name, line = users[-1]
    return f"{name}:{line}", linecache.getline(name, line).strip()


def spatial_inputs(model: keras.Model) -> tuple[str, ...]:
    """Names of a model's inputs that are as high and wide as the image, with an axis of channels or without."""
    sides = {tensor.name: tuple(tensor.shape[1:3]) for tensor in model.inputs if len(tensor.shape) > 2}
    of_image = sides.get("image") or next(iter(sides.values()), ())
    return tuple(name for name, own in sides.items() if own == of_image)


def fixed_size(model: keras.Model) -> tuple[int, ...] | None:
    """The height and width of images if the model takes only one size, otherwise None."""
    inputs = getattr(model, "inputs", None) or ()
    shape = tuple(inputs[0].shape) if inputs else ()
    space = shape[1:-1]
    return space if len(space) in (2, 3) and all(space) else None
