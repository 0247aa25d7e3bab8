"""Export: the model for use elsewhere, uint8 images in, class ids and probabilities out, proven equal to the model.

    <output>/saved_model/   TensorFlow SavedModel: images of any size, any number at a time; of one size where the model
                            takes no other
    <output>/model.tflite   LiteRT: one image of a fixed size (the training crop, or the evaluation tile)
    <output>/model.onnx     ONNX: as the SavedModel; needs tf2onnx, onnx and onnxruntime
    <output>/model.json     classes, channels and sizes, for whoever writes the other side

Each is written beside its place, loaded again, compared with the model on pictures, and only then moved there: a failed
export leaves an earlier one as it was.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.errors import EXIT_FAILED, UserError, numbered
from trainer.evaluation.metrics import probabilities
from trainer.evaluation.windows import main_logits, rounded_up, whole_logits
from trainer.models import size_multiple
from trainer.models.inputs import fixed_size, size_trouble
from trainer.reporting.chatter import without_chatter
from trainer.reporting.records import write_json
from trainer.stepping.segmentation import predicted

FORMATS = ("saved_model", "litert", "onnx")
_ONNX_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")
# Largest difference of a probability: rounding in another order of operations, by the model's arithmetic.
_TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}

Predictor = Callable[[np.ndarray], dict[str, np.ndarray]]


class ExportError(UserError):
    """A model that could not be exported, and why."""

    exit_code = EXIT_FAILED


def export(
    model,
    config: Config,
    output_dir: str,
    formats: Sequence[str] = ("saved_model", "litert"),
    *,
    examples: Sequence[np.ndarray] = (),
) -> list[str]:
    """Writes a model in each format and compares it with the model.

    Args:
      model: float32 images `[batch, height, width, channels]`, 0..255, to logits `[batch, height, width, outputs]`.
      config: `data`, `model`, `augment.crop` and `evaluate.tile` are read.
      output_dir: made if need be.
      formats: any of "saved_model", "litert", "onnx".
      examples: uint8 images `[height, width, channels]` to compare on, beside generated ones.

    Returns:
      A line for each format: where it is, its size, and the largest difference found.

    Raises:
      UserError: a format is unknown or its packages are missing; nothing is written.
      ExportError: the model cannot be converted to a format, or differs from the model when it is loaded again. The
        other formats are done.
    """
    _check_formats(formats)
    os.makedirs(output_dir, exist_ok=True)
    sizes = _Sizes.of(model, config)
    dtypes = {"float32", *(layer.compute_dtype for layer in model.layers)}
    tolerance = max(_TOLERANCE.get(dtype, 1e-4) for dtype in dtypes)
    writers = {"saved_model": _saved_model, "litert": _litert, "onnx": _onnx}
    places = {"saved_model": "saved_model", "litert": "model.tflite", "onnx": "model.onnx"}
    lines, problems = [], []
    for name in dict.fromkeys(formats):
        place = os.path.join(output_dir, places[name])
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".writing-") as folder:
            beside = os.path.join(folder, places[name])
            try:
                predictor = writers[name](model, config, beside, sizes)
                any_size = sizes.any and name != "litert"
                pictures = _pictures(config.data.channels, sizes.fixed, examples, any_size=any_size)
                worst = _compare(name, predictor, model, config, pictures, sizes, tolerance)
            except ExportError as error:
                problems.append(str(error))
                continue
            _move(beside, place)
        lines.append(f"{name:<11}  {place}  {_size(place)}, equal to the model within {worst:.0e}")
    if not sizes.any:
        lines.append(f"Images have to be {sizes.fixed[0]} pixels high and {sizes.fixed[1]} wide: {sizes.why}.")
    write_json(os.path.join(output_dir, "model.json"), _description(config, sizes))
    if problems:
        raise ExportError("\n".join([numbered(problems), *(f"Exported: {line}" for line in lines)]))
    return lines


def _check_formats(formats: Sequence[str]) -> None:
    unknown = [name for name in formats if name not in FORMATS]
    problems = [f"There is no export format {name!r}; there are {', '.join(FORMATS)}." for name in unknown]
    missing = [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if "onnx" in formats and missing:
        problems.append(f"ONNX needs {', '.join(missing)}: pip install {' '.join(missing)}")
    if problems:
        raise UserError(numbered(problems))


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Which images the exported model takes: `fixed` is (height, width) where a format or the model wants one size.

    any: whether the model takes every size, padded inside to multiples of `multiple`; `why` not.
    """

    fixed: tuple[int, int]
    multiple: int
    any: bool
    why: str = ""

    @classmethod
    def of(cls, model, config: Config) -> _Sizes:
        usual = tuple(config.evaluate.tile) if any(config.evaluate.tile) else tuple(config.augment.crop)
        fixed = fixed_size(model)
        if fixed is not None:
            return cls(fixed, 1, False, "the model takes no other size")
        trouble = size_trouble(model, config.data.channels, usual)
        if trouble is not None:
            return cls(usual, 1, False, f"the model computes with sizes in Python, {trouble}")
        multiple = size_multiple(config)
        return cls(tuple(rounded_up(side, multiple) for side in usual), multiple, True)

    @property
    def free(self) -> tuple[int | None, int | None]:
        """Height and width in the signature of a format that takes images of any size."""
        return (None, None) if self.any else self.fixed


def _description(config: Config, sizes: _Sizes) -> dict:
    height, width = (side or name for side, name in zip(sizes.free, ("height", "width"), strict=True))
    return {
        "name": config.name,
        "classes": config.data.classes,
        "input": {"name": "image", "dtype": "uint8", "shape": ["batch", height, width, config.data.channels]},
        "outputs": {
            _decision(config): {
                "dtype": "int32",
                "shape": ["batch", height, width, *([len(config.data.classes)] if config.data.multi_label else [])],
            },
            "probabilities": {"dtype": "float32", "shape": ["batch", height, width, len(config.data.classes)]},
        },
        "litert": {"shape": [1, *sizes.fixed, config.data.channels]},
        "padded_inside_to_multiples_of": sizes.multiple,
    }


def _decision(config: Config) -> str:
    """What the output that decides is called: ids of classes, or, where they overlap, 0 and 1 for each."""
    return "labels" if config.data.multi_label else "class_ids"


def _outputs(logits, config: Config):
    multi_label = config.data.multi_label
    return {_decision(config): predicted(logits, multi_label), "probabilities": probabilities(logits, multi_label)}


def _serving(model, config: Config, sizes: _Sizes):
    """uint8 `[batch, height, width, channels]` -> ids and probabilities in that size."""

    def serve(image):
        image = tf.cast(image, tf.float32)
        if not sizes.any:
            return _outputs(tf.cast(main_logits(model(image, training=False)), tf.float32), config)
        apply = lambda padded: main_logits(model(padded, training=False))  # noqa: E731
        return _outputs(whole_logits(apply, image, sizes.multiple), config)

    return serve


def _archive(model, serve, spec: tf.TensorSpec, path: str) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[spec])
    with without_chatter():
        archive.write_out(path, verbose=False)


def _saved_model(model, config: Config, path: str, sizes: _Sizes) -> Predictor:
    spec = tf.TensorSpec([None, *sizes.free, config.data.channels], tf.uint8, name="image")
    serve = _serving(model, config, sizes)

    def checked(image):
        # Signatures of a SavedModel do not look at ranks: an image without a batch would fail somewhere inside.
        return serve(tf.ensure_shape(image, spec.shape, name="image_is_batch_height_width_channels"))

    _archive(model, checked, spec, path)
    loaded = tf.saved_model.load(path)
    return lambda image: {name: value.numpy() for name, value in loaded.serve(tf.constant(image)).items()}


def _litert(model, config: Config, path: str, sizes: _Sizes) -> Predictor:
    # The converter wants static sizes: with free ones, the U-Net's concatenations lose the number of channels.
    spec = tf.TensorSpec([1, *sizes.fixed, config.data.channels], tf.uint8, name="image")

    def serve(image):
        return _outputs(tf.cast(main_logits(model(tf.cast(image, tf.float32), training=False)), tf.float32), config)

    with tempfile.TemporaryDirectory() as folder:
        _archive(model, serve, spec, folder)
        try:
            with without_chatter():
                content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
        except (MemoryError, tf.errors.ResourceExhaustedError):
            raise
        except Exception as error:  # its class cannot be imported by a public name
            raise _not_converted("litert", model, error) from error
    with open(path, "wb") as file:
        file.write(content)
    with warnings.catch_warnings():
        # It advises a package of its own; the one in TensorFlow is the same, and here already.
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated", category=UserWarning)
        with without_chatter():
            interpreter = tf.lite.Interpreter(model_path=path)
            interpreter.allocate_tensors()
    run = interpreter.get_signature_runner("serving_default")
    return lambda image: run(image=image)


def _onnx(model, config: Config, path: str, sizes: _Sizes) -> Predictor:
    import onnxruntime
    import tf2onnx

    spec = tf.TensorSpec([None, *sizes.free, config.data.channels], tf.uint8, name="image")
    serve = tf.function(_serving(model, config, sizes), input_signature=[spec])
    try:
        with without_chatter():
            tf2onnx.convert.from_function(serve, input_signature=[spec], opset=17, output_path=path)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # it raises whatever its parts raise
        raise _not_converted("onnx", model, error) from error
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda image: dict(zip(names, session.run(names, {session.get_inputs()[0].name: image}), strict=True))


def _pictures(channels: int, fixed: tuple[int, int], examples: Sequence[np.ndarray], *, any_size: bool):
    """uint8 `[batch, height, width, channels]`: noise, a gradient, the examples; cut or repeated to a fixed size."""
    random = np.random.default_rng(0)
    height, width = fixed
    across = np.linspace(0, 255, width)[None, :, None] * np.linspace(0, 1, height)[:, None, None]
    pictures = [random.integers(0, 256, (*fixed, channels)), np.repeat(across, channels, axis=-1)]
    if any_size:
        odd = random.integers(0, 256, (2, height // 2 + 3, width + 5, channels))
        return [np.uint8(odd), *(np.uint8(picture)[None] for picture in (*pictures, *examples))]
    for example in examples:
        rows, columns = (np.arange(side) % length for side, length in zip(fixed, example.shape[:2], strict=True))
        pictures.append(example[rows][:, columns])
    return [np.uint8(picture)[None] for picture in pictures]


def _compare(name, predictor: Predictor, model, config: Config, pictures, sizes: _Sizes, tolerance: float) -> float:
    """The largest difference of a probability; the ids must agree but where the two best classes are nearly equal."""
    reference, worst = _serving(model, config, sizes), 0.0
    for picture in pictures:
        got, expected = predictor(picture), reference(tf.constant(picture))
        wanted = expected["probabilities"].numpy()
        ids, decision = expected[_decision(config)].numpy(), _decision(config)
        if got["probabilities"].shape != wanted.shape or got[decision].shape != ids.shape:
            raise _differs(name, f"shapes {got['probabilities'].shape} instead of {wanted.shape}")
        difference = float(np.max(np.abs(got["probabilities"] - wanted)))
        if not difference <= tolerance:
            raise _differs(name, f"a probability by {difference:.2e}, more than {tolerance:.0e}")
        best = np.sort(wanted, axis=-1)
        near = np.abs(wanted - 0.5) * 2 if config.data.multi_label else best[..., -1] - best[..., -2]
        clear = near > 2 * tolerance
        wrong = np.count_nonzero((got[decision] != ids) & clear)
        if wrong:
            raise _differs(name, f"the class of {wrong} of {clear.size} pixels")
        worst = max(worst, difference)
    return worst


def _differs(name: str, what: str) -> ExportError:
    return ExportError(
        f"The exported {name} is not the model: loaded again, it differs in {what}. It was not kept.\n"
        "  Layers that behave otherwise outside training, or custom operations, are the usual reason."
    )


def _not_converted(name: str, model, error: Exception) -> ExportError:
    half = sorted({layer.compute_dtype for layer in model.layers} - {"float32"})
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if "ops:" in line), lines[0] if lines else type(error).__name__)
    advice = (
        f"Its layers compute in {' and '.join(half)}: export it from a float32 model with the same weights, "
        "--precision=float32."
        if half
        else "An operation that the format lacks is the usual reason; saved_model takes every operation."
    )
    return ExportError(f"The model cannot be converted to {name}: {reason[:300]}\n  {advice}")


def _move(beside: str, place: str) -> None:
    if os.path.isdir(place):
        shutil.rmtree(place)
    os.replace(beside, place)


def _size(path: str) -> str:
    files = [path] if os.path.isfile(path) else [os.path.join(p, f) for p, _, fs in os.walk(path) for f in fs]
    size = sum(os.path.getsize(file) for file in files)
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"
