"""Export: the model for use elsewhere, from uint8 images to class ids and probabilities, proven equal to the model.

    <output>/saved_model/   TensorFlow SavedModel: images of any size, any number at a time; of one size if the model
                            takes no other
    <output>/model.tflite   LiteRT: one image of a fixed size (the training crop, or the evaluation tile)
    <output>/model_float16.tflite, model_int8.tflite
                            the same with weights in half precision, or computing in integers of 8 bits, whose ranges
                            are taken from training images; the latter only if it scores like the model
    <output>/model.onnx     ONNX: as the SavedModel; needs tf2onnx, onnx and onnxruntime
    <output>/serve.py       a program for all, from image file to mask file; it needs nothing from this project
    <output>/postprocessing.json, postprocess.py
                            the chosen post-processing of masks, if any, and its program
    <output>/model.json     classes, channels and sizes, for other programs

Volumes have to be float32, at the spacing and the scale of intensities in model.json.

Each is written under a temporary name, loaded again, compared with the model on pictures, scored on the validation
images if these are at hand, and only then moved into place: a failed export leaves an earlier one unchanged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
import os
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data.errors import DataError
from trainer.data.source import DataSets
from trainer.errors import UserError, numbered
from trainer.export import serving
from trainer.export.comparison import TOLERANCE, calibration, compare, pictures_for
from trainer.export.errors import ExportError
from trainer.export.litert import litert
from trainer.export.onnx import PACKAGES, onnx
from trainer.export.proof import Proof, in_tiles, in_words, prove, whole
from trainer.export.saved_model import Predictor, saved_model
from trainer.export.serving_function import Sizes, decision, serving_function
from trainer.prediction.postprocessing import FILE as POSTPROCESSING_FILE
from trainer.prediction.postprocessing import PostProcessing
from trainer.reporting.records import write_json
from trainer.tracing import traced

# Format -> its file, and how much mean Dice it may lose on validation images; None: only rounding may differ.
FORMATS = {
    "saved_model": ("saved_model", None),
    "litert": ("model.tflite", None),
    "litert_float16": ("model_float16.tflite", 0.01),
    "litert_int8": ("model_int8.tflite", 0.01),
    "onnx": ("model.onnx", None),
}


def export(
    model,
    config: Config,
    output_dir: str,
    formats: Sequence[str] = ("saved_model", "litert"),
    *,
    examples: Sequence[np.ndarray] = (),
    data: DataSets | None = None,
    postprocessing: PostProcessing | None = None,
) -> list[str]:
    """Writes a model in each format, compares it with the model, and scores both.

    Args:
      model: float32 images `[batch, height, width, channels]`, 0..255, to logits `[batch, height, width, outputs]`.
      config: `data`, `model`, `augment.crop` and `evaluate.tile` are read.
      output_dir: created if necessary.
      formats: any of FORMATS.
      examples: uint8 images `[height, width, channels]` to compare on, besides generated ones.
      data: the formats are scored on its validation split, and litert_int8 is calibrated on its training split; without
        it nothing is scored.
      postprocessing: exported beside the model, and applied in the scores.

    Returns:
      A line for each format: its path, its size, the largest difference found, its score and its time per image.

    Raises:
      UserError: a format is unknown or its packages are missing; nothing is written.
      ExportError: the model cannot be converted to a format, or differs from the model when it is loaded again. The
        other formats are written.
    """
    check_formats(formats)
    os.makedirs(output_dir, exist_ok=True)
    sizes = Sizes.of(model, config)
    dtypes = {"float32", *(layer.compute_dtype for layer in model.layers)}
    tolerance = max(TOLERANCE.get(dtype, 1e-4) for dtype in dtypes)
    own = _proof_of_the_model(model, config, sizes, data, postprocessing)
    lines, problems, records = [], [], {}
    for name in dict.fromkeys(formats):
        file, loss = FORMATS[name]
        place = os.path.join(output_dir, file)
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".writing-") as folder:
            beside = os.path.join(folder, file)
            try:
                predictor = _write(name, model, config, beside, sizes, data)
                worst = math.nan
                any_size = sizes.any and not name.startswith("litert")
                if name != "litert_int8":
                    pictures = pictures_for(config.data.channels, sizes.fixed, examples, any_size=any_size)
                    if loss is not None and data is not None and len(sizes.fixed) == 2:
                        # Noise drives activations further than any image does, which half precision shows.
                        pictures = calibration(data, sizes.fixed)
                    within = tolerance if loss is None else max(tolerance, TOLERANCE["float16"])
                    worst = compare(name, predictor, model, config, pictures, sizes, within)
                proof = own and prove(
                    whole(predictor) if any_size else in_tiles(predictor, sizes.fixed),
                    data.validation,
                    config,
                    postprocessing,
                )
                if proof and loss is not None and not own.mean_dice - proof.mean_dice <= loss:
                    raise ExportError(
                        f"The exported {name} has a mean Dice of {proof.mean_dice:.4f} on the validation images, and "
                        f"the model {own.mean_dice:.4f}: more than {loss:g} are lost. It was not kept."
                    )
            except ExportError as error:
                problems.append(str(error))
                continue
            move(beside, place)
        equal = "" if math.isnan(worst) else f", equal to the model within {worst:.0e}"
        lines.append(f"{name:<14}  {place}  {size_of(place)}{equal}" + (f"; {in_words(proof, own)}" if proof else ""))
        records[name] = {"file": file, "bytes": bytes_of(place)}
        records[name] |= {} if math.isnan(worst) else {"largest_difference": worst}
        records[name] |= dataclasses.asdict(proof) if proof else {}
    if records and len(sizes.fixed) == 2:
        _write_program("serve.py", output_dir)
    lines += _write_postprocessing(postprocessing, output_dir)
    if own:
        lines.append(f"{'the model':<14}  {in_words(own, own)}")
        records["model"] = dataclasses.asdict(own)
    elif len(sizes.fixed) == 2:
        lines.append("Nothing was scored: there are no validation images at hand.")
    if not sizes.any and len(sizes.fixed) == 2:
        lines.append(f"Images have to be {sizes.fixed[0]} pixels high and {sizes.fixed[1]} wide: {sizes.why}.")
    elif not sizes.any:
        lines.append(f"Volumes have to be {' x '.join(map(str, sizes.fixed))} voxels: {sizes.why}.")
    description = _description(config, sizes) | {"postprocessing": _said(postprocessing), "exported": records}
    write_json(os.path.join(output_dir, "model.json"), description)
    if problems:
        raise ExportError("\n".join([numbered(problems), *(f"Exported: {line}" for line in lines)]))
    return lines


def _proof_of_the_model(
    model, config: Config, sizes: Sizes, data: DataSets | None, postprocessing: PostProcessing | None
) -> Proof | None:
    """The model's own scores on whole images; None if nothing can be scored."""
    if data is None or data.validation is None or len(sizes.fixed) != 2:
        return None
    serve = traced(serving_function(model, config, sizes))

    def predictor(image):
        return {name: value.numpy() for name, value in serve(tf.constant(image)).items()}

    try:
        predict = whole(predictor) if sizes.any else in_tiles(predictor, sizes.fixed)
        return prove(predict, data.validation, config, postprocessing)
    except DataError:
        return None


def _write(name: str, model, config: Config, path: str, sizes: Sizes, data: DataSets | None) -> Predictor:
    if name == "saved_model":
        return saved_model(model, config, path, sizes)
    if name == "onnx":
        return onnx(model, config, path, sizes)
    return litert(model, config, path, sizes, name, data)


def _write_program(name: str, output_dir: str) -> None:
    """Copies one of the standalone programs beside the models."""
    own = os.path.join(os.path.dirname(os.path.abspath(serving.__file__)), name)
    shutil.copyfile(own, os.path.join(output_dir, name))


def _write_postprocessing(made: PostProcessing | None, output_dir: str) -> list[str]:
    """Writes the steps and their program, or removes earlier ones; returns the lines about it."""
    paths = [os.path.join(output_dir, name) for name in (POSTPROCESSING_FILE, "postprocess.py")]
    if not made:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
        return []
    write_json(paths[0], made.to_dict())
    _write_program("postprocess.py", output_dir)
    return [f"Post-processing: {made}. It is in {paths[0]}; {paths[1]} and serve.py carry it out, the models do not."]


def _said(made: PostProcessing | None) -> str:
    """Its entries in model.json."""
    if not made:
        return "none"
    return f"{made}. It is in {POSTPROCESSING_FILE} and postprocess.py, and not in the models; scores are with it."


def usual_formats(config: Config) -> tuple[str, ...]:
    """The formats that are written by default."""
    return ("saved_model",) if len(config.augment.crop) == 3 else ("saved_model", "litert")


def check_formats(formats: Sequence[str]) -> None:
    unknown = [name for name in formats if name not in FORMATS]
    problems = [f"There is no export format {name!r}; there are {', '.join(FORMATS)}." for name in unknown]
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if "onnx" in formats and missing:
        problems.append(f"ONNX needs {', '.join(missing)}: pip install {' '.join(missing)}")
    if problems:
        raise UserError(numbered(problems))


def _description(config: Config, sizes: Sizes) -> dict:
    names, data = ("depth", "height", "width")[-len(sizes.fixed) :], config.data
    space = [side or name for side, name in zip(sizes.free, names, strict=True)]
    alike = len(set(sizes.multiples)) == 1
    description = {
        "name": config.name,
        "classes": data.classes,
        "input": {"name": "image", "dtype": sizes.dtype.name, "shape": ["batch", *space, data.channels]},
        "outputs": {
            decision(config): {
                "dtype": "int32",
                "shape": ["batch", *space, *([len(data.classes)] if data.multi_label else [])],
            },
            "probabilities": {"dtype": "float32", "shape": ["batch", *space, len(data.classes)]},
        },
        "litert": {"shape": [1, *sizes.fixed, data.channels]},
        "padded_inside_to_multiples_of": sizes.multiples[0] if alike else sizes.multiples,
    }
    if len(sizes.fixed) == 3:
        description["volumes"] = {
            "axes": ["foot to head", "back to front", "left to right"],
            "spacing_mm": data.spacing,
            "normalize": data.normalize,
            "intensities": data.intensities,
        }
    return description


def move(beside: str, place: str) -> None:
    if os.path.isdir(place):
        shutil.rmtree(place)
    os.replace(beside, place)


def bytes_of(path: str) -> int:
    files = [path] if os.path.isfile(path) else [os.path.join(p, f) for p, _, fs in os.walk(path) for f in fs]
    return sum(os.path.getsize(file) for file in files)


def size_of(path: str) -> str:
    size = bytes_of(path)
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"
