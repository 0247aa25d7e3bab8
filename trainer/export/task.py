"""Export of a user's task: from images to the results of its `predict`, proven equal to it.

    <output>/saved_model/   TensorFlow SavedModel, with the signature `serve`; any size if predict takes it
    <output>/model.tflite   LiteRT: one image of a fixed size (the training crop, or the first model's one size)
    <output>/model.onnx     ONNX: as the SavedModel
    <output>/model.json     the input and the outputs, by name

Images are float32 `[batch, height, width, channels]`, with values as in training. A tensor is returned as "output", a
mapping by its keys, a list as "output_0", "output_1" …
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.errors import UserError, numbered
from trainer.export.comparison import TOLERANCE
from trainer.export.errors import ExportError, differs
from trainer.export.export import FORMATS, bytes_of, check_formats, move, size_of
from trainer.export.litert import check_litert, write_litert
from trainer.export.onnx import write_onnx
from trainer.export.saved_model import write_saved_model
from trainer.models.inputs import fixed_size, said_by, users_line
from trainer.reporting.records import write_json
from trainer.stepping.task import Examples, NoSuchKey, Task

# Other formats are kept or dropped by their Dice.
_FORMATS = ("saved_model", "litert", "onnx")
# Share of integer outputs that may differ: rounding decides where two results are nearly equal.
_OF_NUMBERS = 1e-3


def export_task(task: Task, config: Config, output_dir: str, formats: Sequence[str]) -> list[str]:
    """Writes `task.predict` as a function of images in each format, and compares it.

    Args:
      task: the task, with its weights.
      config: `data.channels` and `augment.crop` are read.
      output_dir: created if necessary.
      formats: "saved_model", "litert", "onnx".

    Returns:
      A line for each format: its path, its size, the largest difference found.

    Raises:
      UserError: a format is not one of these, or predict needs more than images; nothing is written.
      ExportError: it cannot be converted, or differs when it is loaded again. The other formats are written.
    """
    check_formats(formats)
    scored = [name for name in formats if name not in _FORMATS]
    if scored:
        raise UserError(
            f"{', '.join(scored)}: how much Dice it loses would decide, and {type(task).__name__} is no segmentation.\n"
            f"  It can be exported as {', '.join(_FORMATS)}."
        )
    serve, models = _serving(task), list(task.models().values())
    first = fixed_size(models[0]) if models else None
    fixed = first or tuple(config.augment.crop)
    sides, why = _sides(serve, task, config, fixed, free=first is None)
    layers = [layer for model in models for layer in model.layers]
    layers += [layer for layer in task.others().values() if isinstance(layer, keras.Layer)]
    parts = [p.value if isinstance(p, keras.Variable) else p for p in (*models, *task.others().values())]
    tolerance = max(TOLERANCE.get(dtype, 1e-4) for dtype in {"float32", *(layer.compute_dtype for layer in layers)})
    os.makedirs(output_dir, exist_ok=True)
    lines, problems, records = [], [], {}
    for name in dict.fromkeys(formats):
        file, _ = FORMATS[name]
        place = os.path.join(output_dir, file)
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".writing-") as folder:
            beside = os.path.join(folder, file)
            try:
                made = _write(name, serve, parts, layers, beside, sides, fixed, config.data.channels)
                worst = _compare(name, made, serve, _pictures(fixed, config.data.channels), tolerance)
            except ExportError as error:
                problems.append(str(error))
                continue
            move(beside, place)
        equal = f"equal to {type(task).__name__}.predict within {worst:.0e}"
        lines.append(f"{name:<14}  {place}  {size_of(place)}, {equal}")
        records[name] = {"file": file, "bytes": bytes_of(place), "largest_difference": worst}
    if why:
        lines.append(f"Images have to be {' x '.join(map(str, fixed))}: {why}.")
    write_json(os.path.join(output_dir, "model.json"), _description(serve, config, sides) | {"exported": records})
    if problems:
        raise ExportError("\n".join([numbered(problems), *(f"Exported: {line}" for line in lines)]))
    return lines


def _serving(task: Task) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    def serve(image):
        found = task.predict(Examples(image=tf.cast(image, tf.float32)))
        if isinstance(found, Mapping):
            return {str(key): tf.convert_to_tensor(value) for key, value in found.items()}
        if isinstance(found, (list, tuple)):
            return {f"output_{number}": tf.convert_to_tensor(value) for number, value in enumerate(found)}
        return {"output": tf.convert_to_tensor(found)}

    return serve


def _spec(sides: Sequence[int | None], channels: int, batch: int | None = None) -> tf.TensorSpec:
    return tf.TensorSpec([batch, *sides, channels], tf.float32, name="image")


def _sides(serve, task: Task, config: Config, fixed: tuple[int, ...], *, free: bool) -> tuple[tuple, str]:
    """The sides of the input and the reason for them; None and empty if it may have any.

    Raises:
      UserError: predict needs more than images.
    """
    why = "the first model takes no other size"
    if free:
        try:
            sides = (None,) * len(fixed)
            tf.function(serve).get_concrete_function(_spec(sides, config.data.channels))
            return sides, ""
        except Exception as error:  # user code raises
            why = f"predict computes with sizes in Python ({said_by(error)})"
    try:
        tf.function(serve).get_concrete_function(_spec(fixed, config.data.channels))
    except Exception as error:
        if isinstance(error, UserError) and not isinstance(error, NoSuchKey):
            raise
        place, code = users_line(error)
        raise UserError(
            f"{type(task).__name__}.predict cannot be exported: of a batch that has images alone it raised "
            f"{type(error).__name__}: {said_by(error)}" + (f"\n  {place}: {code}" if place else "") + "\n"
            "  What reads more than batch['image'] is exported by Keras: run.task.<model>.export(folder)."
        ) from error
    return fixed, why


def _write(name, serve, parts, layers, path, sides, fixed, channels) -> Callable[[np.ndarray], Mapping[str, Any]]:
    if name == "onnx":
        return write_onnx(serve, _spec(sides, channels), path, layers)
    if name == "saved_model":
        write_saved_model(parts, serve, _spec(sides, channels), path)
        loaded = tf.saved_model.load(path)
        return lambda image: loaded.serve(tf.constant(image))
    check_litert(name, layers)
    with tempfile.TemporaryDirectory() as folder:
        # The converter needs static sizes.
        write_saved_model(parts, serve, _spec(fixed, channels, batch=1), folder)
        return write_litert(folder, path, layers)


def _pictures(fixed: tuple[int, ...], channels: int) -> list[np.ndarray]:
    """Noise, and a gradient, float32 `[1, *fixed, channels]`."""
    noise = np.random.default_rng(0).uniform(0, 255, (1, *fixed, channels))
    ramp = np.linspace(0, 255, noise.size).reshape(noise.shape)
    return [noise.astype(np.float32), ramp.astype(np.float32)]


def _compare(name: str, made, serve, pictures: Sequence[np.ndarray], tolerance: float) -> float:
    """The largest difference of an output, relative to its largest value where that is above 1."""
    worst = 0.0
    for picture in pictures:
        got = {key: np.asarray(value) for key, value in made(picture).items()}
        for key, value in serve(tf.constant(picture)).items():
            wanted = value.numpy()
            if key not in got or got[key].shape != wanted.shape:
                shape = list(got[key].shape) if key in got else "nothing"
                raise differs(name, f"{key}, which is {shape} instead of {list(wanted.shape)}")
            if wanted.dtype.kind != "f":
                wrong = np.count_nonzero(got[key] != wanted)
                if wrong > _OF_NUMBERS * wanted.size:
                    raise differs(name, f"{key}: {wrong} of {wanted.size} values")
                continue
            scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
            difference = float(np.max(np.abs(got[key] - wanted), initial=0.0)) / scale
            if not difference <= tolerance:
                raise differs(name, f"{key} by {difference:.2e}, more than {tolerance:.0e}")
            worst = max(worst, difference)
    return worst


def _description(serve, config: Config, sides: Sequence[int | None]) -> dict:
    traced = tf.function(serve).get_concrete_function(_spec(sides, config.data.channels))
    names = ("depth", "height", "width")[-len(sides) :]
    space = [side or name for side, name in zip(sides, names, strict=True)]
    return {
        "name": config.name,
        "input": {"name": "image", "dtype": "float32", "shape": ["batch", *space, config.data.channels]},
        "outputs": {
            key: {"dtype": value.dtype.name, "shape": list(value.shape) if value.shape.rank is not None else None}
            for key, value in traced.structured_outputs.items()
        },
    }
