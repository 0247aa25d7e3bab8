"""Export: the model for use elsewhere, uint8 images in, class ids and probabilities out, proven equal to the model.

    <output>/saved_model/   TensorFlow SavedModel: images of any size, any number at a time; of one size where the model
                            takes no other
    <output>/model.tflite   LiteRT: one image of a fixed size (the training crop, or the evaluation tile)
    <output>/model_float16.tflite, model_int8.tflite
                            the same with weights in half precision, or computing in whole numbers of 8 bits, whose
                            ranges are taken from training images; the latter only where it scores as the model does
    <output>/model.onnx     ONNX: as the SavedModel; needs tf2onnx, onnx and onnxruntime
    <output>/serve_….py     a program for each: an image file in, a mask file out; it needs nothing of ours
    <output>/postprocessing.json, postprocess.py
                            what is done to masks after the network, where it was chosen, and what does it
    <output>/model.json     classes, channels and sizes, for whoever writes the other side

Volumes go in as float32, at the spacing and the scale of intensities that model.json names.

Each is written beside its place, loaded again, compared with the model on pictures, scored on the validation images
where these are at hand, and only then moved there: a failed export leaves an earlier one as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data.errors import DataError
from trainer.data.source import DataSets
from trainer.errors import EXIT_FAILED, UserError, numbered
from trainer.evaluation.metrics import probabilities
from trainer.export import serving
from trainer.export.proof import Proof, chosen, in_tiles, in_words, prove, whole
from trainer.models.build import size_multiples
from trainer.models.inputs import fixed_size, size_trouble
from trainer.prediction.postprocessing import FILE as POSTPROCESSING_FILE
from trainer.prediction.postprocessing import PostProcessing
from trainer.prediction.tiling import mirrored_index, rounded_up
from trainer.prediction.windows import main_logits
from trainer.reporting.records import write_json
from trainer.reporting.tensorflow_messages import without_chatter
from trainer.stepping.segmentation import predicted

# Format -> its file, and how much of mean Dice it may lose on validation images; None: it is the model, up to rounding.
FORMATS = {
    "saved_model": ("saved_model", None),
    "litert": ("model.tflite", None),
    "litert_float16": ("model_float16.tflite", 0.01),
    "litert_int8": ("model_int8.tflite", 0.01),
    "onnx": ("model.onnx", None),
}
# Training images from which the ranges of whole numbers are taken, and on which half precision is compared.
_CALIBRATION = 64
_ONNX_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")
_POOLING_OF_VOLUMES = (keras.layers.MaxPooling3D, keras.layers.AveragePooling3D)
# Largest difference of a probability: rounding in another order of operations, by the model's arithmetic.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}

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
    data: DataSets | None = None,
    postprocessing: PostProcessing | None = None,
) -> list[str]:
    """Writes a model in each format, compares it with the model, and scores both.

    Args:
      model: float32 images `[batch, height, width, channels]`, 0..255, to logits `[batch, height, width, outputs]`.
      config: `data`, `model`, `augment.crop` and `evaluate.tile` are read.
      output_dir: made if need be.
      formats: any of FORMATS.
      examples: uint8 images `[height, width, channels]` to compare on, beside generated ones.
      data: its validation split is what the formats are scored on, its training split what litert_int8 is calibrated
        by; without it nothing is scored.
      postprocessing: goes out beside the model, and is in the scores.

    Returns:
      A line for each format: where it is, its size, the largest difference found, its score and its time an image.

    Raises:
      UserError: a format is unknown or its packages are missing; nothing is written.
      ExportError: the model cannot be converted to a format, or differs from the model when it is loaded again. The
        other formats are done.
    """
    check_formats(formats)
    os.makedirs(output_dir, exist_ok=True)
    sizes = _Sizes.of(model, config)
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
                    pictures = _pictures(config.data.channels, sizes.fixed, examples, any_size=any_size)
                    if loss is not None and data is not None and len(sizes.fixed) == 2:
                        # Noise drives activations to where no image does, and half precision shows it.
                        pictures = _calibration(data, sizes.fixed)
                    within = tolerance if loss is None else max(tolerance, TOLERANCE["float16"])
                    worst = _compare(name, predictor, model, config, pictures, sizes, within)
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
        if len(sizes.fixed) == 2:
            kind = "litert" if name.startswith("litert") else name
            _write_program(f"{kind}.py", os.path.join(output_dir, f"serve_{kind}.py"))
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
    model, config: Config, sizes: _Sizes, data: DataSets | None, postprocessing: PostProcessing | None
) -> Proof | None:
    """What the model itself scores, whole images at a time; None where nothing can be scored."""
    if data is None or data.validation is None or len(sizes.fixed) != 2:
        return None
    serve = tf.function(_serving(model, config, sizes))

    def predictor(image):
        return {name: value.numpy() for name, value in serve(tf.constant(image)).items()}

    try:
        predict = whole(predictor) if sizes.any else in_tiles(predictor, sizes.fixed)
        return prove(predict, data.validation, config, postprocessing)
    except DataError:
        return None


def _write(name: str, model, config: Config, path: str, sizes: _Sizes, data: DataSets | None) -> Predictor:
    if name == "saved_model":
        return _saved_model(model, config, path, sizes)
    if name == "onnx":
        return _onnx(model, config, path, sizes)
    return _litert(model, config, path, sizes, name, data)


def _write_program(name: str, path: str) -> None:
    """Puts one of the programs that need nothing of ours beside the models."""
    shutil.copyfile(os.path.join(os.path.dirname(os.path.abspath(serving.__file__)), name), path)


def _write_postprocessing(made: PostProcessing | None, output_dir: str) -> list[str]:
    """Writes the steps and the program that carries them out, or removes those of before; the lines for it."""
    paths = [os.path.join(output_dir, name) for name in (POSTPROCESSING_FILE, "postprocess.py")]
    if not made:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
        return []
    write_json(paths[0], made.to_dict())
    _write_program("postprocess.py", paths[1])
    return [
        f"Post-processing: {made}. It is in {paths[0]}; {paths[1]} and the programs carry it out, the models do not."
    ]


def _said(made: PostProcessing | None) -> str:
    """What model.json says of it."""
    if not made:
        return "none"
    return f"{made}. It is in {POSTPROCESSING_FILE} and postprocess.py, and not in the models; scores are with it."


def usual_formats(config: Config) -> tuple[str, ...]:
    """What is written where nobody says which."""
    return ("saved_model",) if len(config.augment.crop) == 3 else ("saved_model", "litert")


def check_formats(formats: Sequence[str]) -> None:
    unknown = [name for name in formats if name not in FORMATS]
    problems = [f"There is no export format {name!r}; there are {', '.join(FORMATS)}." for name in unknown]
    missing = [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if "onnx" in formats and missing:
        problems.append(f"ONNX needs {', '.join(missing)}: pip install {' '.join(missing)}")
    if problems:
        raise UserError(numbered(problems))


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Which images the exported model takes: `fixed` are their sides where a format or the model wants one size.

    multiples: of which sides are multiples after padding, one an axis.
    any: whether the model takes every size, padded inside; `why` not.
    """

    fixed: tuple[int, ...]
    multiples: tuple[int, ...]
    any: bool
    why: str = ""

    @classmethod
    def of(cls, model, config: Config) -> _Sizes:
        usual = tuple(config.evaluate.tile) if any(config.evaluate.tile) else tuple(config.augment.crop)
        fixed, ones = fixed_size(model), (1,) * len(usual)
        if fixed is not None:
            return cls(fixed, ones, False, "the model takes no other size")
        trouble = size_trouble(model, config.data.channels, usual)
        if trouble is not None:
            return cls(usual, ones, False, f"the model computes with sizes in Python, {trouble}")
        multiples = size_multiples(config)
        sides = zip(usual, multiples, strict=True)
        return cls(tuple(rounded_up(side, multiple) for side, multiple in sides), multiples, True)

    @property
    def free(self) -> tuple[int | None, ...]:
        """The sides in the signature of a format that takes images of any size."""
        return (None,) * len(self.fixed) if self.any else self.fixed

    @property
    def dtype(self) -> tf.DType:
        """Of the input: volumes have no range of 0 to 255."""
        return tf.float32 if len(self.fixed) == 3 else tf.uint8


def _description(config: Config, sizes: _Sizes) -> dict:
    names, data = ("depth", "height", "width")[-len(sizes.fixed) :], config.data
    space = [side or name for side, name in zip(sizes.free, names, strict=True)]
    alike = len(set(sizes.multiples)) == 1
    description = {
        "name": config.name,
        "classes": data.classes,
        "input": {"name": "image", "dtype": sizes.dtype.name, "shape": ["batch", *space, data.channels]},
        "outputs": {
            _decision(config): {
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


def _decision(config: Config) -> str:
    """What the output that decides is called: ids of classes, or, where they overlap, 0 and 1 for each."""
    return "labels" if config.data.multi_label else "class_ids"


def _outputs(logits, config: Config):
    multi_label = config.data.multi_label
    return {_decision(config): predicted(logits, multi_label), "probabilities": probabilities(logits, multi_label)}


def _serving(model, config: Config, sizes: _Sizes):
    """Images `[batch, *space, channels]` -> ids and probabilities in that size."""

    def serve(image):
        image = tf.cast(image, tf.float32)
        if not sizes.any:
            return _outputs(tf.cast(main_logits(model(image, training=False)), tf.float32), config)
        shape, padded = tf.shape(image), image
        for axis, multiple in enumerate(sizes.multiples, start=1):
            padded = tf.gather(padded, mirrored_index(shape[axis], rounded_up(shape[axis], multiple)), axis=axis)
        logits = tf.cast(main_logits(model(padded, training=False)), tf.float32)
        space = [slice(0, shape[axis]) for axis in range(1, len(sizes.multiples) + 1)]
        return _outputs(logits[(slice(None), *space)], config)

    return serve


def write_saved_model(parts: Sequence, serve, spec: tf.TensorSpec, path: str) -> None:
    """A SavedModel with the endpoint `serve` of one tensor; `parts` are the models and variables that it uses."""
    archive = keras.export.ExportArchive()
    for part in parts:
        archive.track(part)
    archive.add_endpoint("serve", serve, input_signature=[spec])
    with without_chatter():
        archive.write_out(path, verbose=False)


def _saved_model(model, config: Config, path: str, sizes: _Sizes) -> Predictor:
    spec = tf.TensorSpec([None, *sizes.free, config.data.channels], sizes.dtype, name="image")
    serve = _serving(model, config, sizes)

    def checked(image):
        # Signatures of a SavedModel do not look at ranks: an image without a batch would fail somewhere inside.
        return serve(tf.ensure_shape(image, spec.shape, name="image_is_batch_height_width_channels"))

    write_saved_model([model], checked, spec, path)
    loaded = tf.saved_model.load(path)
    return lambda image: {name: value.numpy() for name, value in loaded.serve(tf.constant(image)).items()}


def _litert(
    model, config: Config, path: str, sizes: _Sizes, name: str = "litert", data: DataSets | None = None
) -> Predictor:
    check_litert(name, model.layers)
    # The converter wants static sizes: with free ones, the U-Net's concatenations lose the number of channels.
    spec = tf.TensorSpec([1, *sizes.fixed, config.data.channels], sizes.dtype, name="image")

    def serve(image):
        return _outputs(tf.cast(main_logits(model(tf.cast(image, tf.float32), training=False)), tf.float32), config)

    pictures = _calibration(data, sizes.fixed) if name == "litert_int8" else ()
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model([model], serve, spec, folder)
        return write_litert(folder, path, model.layers, name, pictures)


def check_litert(name: str, layers: Sequence) -> None:
    """Says what the converter would need pages for.

    Raises:
      ExportError: a layer pools along three axes, for which LiteRT has no operation.
    """
    pooling = [layer.name for layer in layers if isinstance(layer, _POOLING_OF_VOLUMES)]
    if pooling:
        raise ExportError(
            f"The model cannot be converted to {name}: LiteRT has no pooling along three axes, which the model does in "
            f"{', '.join(pooling)}.\n  saved_model and onnx take volumes."
        )


def write_litert(saved_model: str, path: str, layers: Sequence, name: str = "litert", pictures=()) -> Callable:
    """Converts a SavedModel of one endpoint and gives the function that the file is, loaded again.

    Args:
      layers: of the models, whose arithmetic an error names.
      name: of the format.
      pictures: for litert_int8, from which the ranges of whole numbers are taken.

    Raises:
      ExportError: it cannot be converted.
    """
    try:
        with without_chatter():
            converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
            if name != "litert":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if name == "litert_float16":
                converter.target_spec.supported_types = [tf.float16]
            if name == "litert_int8":
                converter.representative_dataset = lambda: ({"image": picture} for picture in pictures)
            content = converter.convert()
    except (UserError, MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # its class cannot be imported by a public name
        raise not_converted(name, layers, error) from error
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


def _calibration(data: DataSets | None, fixed: tuple[int, ...]) -> list[np.ndarray]:
    """Parts of training images, uint8 `[1, *fixed, channels]`."""
    if len(fixed) != 2:
        raise ExportError("Smaller numbers are tried on training images of 8 bits, and these are volumes.")
    if data is None:
        raise ExportError(
            "litert_int8 takes the ranges of its numbers from training images, and there are none at hand."
        )
    random, found = np.random.default_rng(0), []
    for index in chosen(len(data.train), _CALIBRATION):
        try:
            image = data.train.load(index).image
        except DataError:
            continue
        if image.dtype == np.uint8:
            missing = [max(0, side - length) for side, length in zip(fixed, image.shape[:2], strict=True)]
            image = np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")
            top, left = (random.integers(0, n - side + 1) for n, side in zip(image.shape[:2], fixed, strict=True))
            found.append(image[None, top : top + fixed[0], left : left + fixed[1]])
    if not found:
        raise ExportError("Smaller numbers are tried on training images of 8 bits, and none of them can be read.")
    return found


def _onnx(model, config: Config, path: str, sizes: _Sizes) -> Predictor:
    spec = tf.TensorSpec([None, *sizes.free, config.data.channels], sizes.dtype, name="image")
    return write_onnx(_serving(model, config, sizes), spec, path, model.layers)


def write_onnx(serve: Callable, spec: tf.TensorSpec, path: str, layers: Sequence) -> Predictor:
    """Converts a function of one tensor and gives what the file is, loaded again; see `write_litert`."""
    import onnxruntime
    import tf2onnx

    serve = tf.function(serve, input_signature=[spec])
    try:
        with without_chatter():
            tf2onnx.convert.from_function(serve, input_signature=[spec], opset=17, output_path=path)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # it raises whatever its parts raise
        raise not_converted("onnx", layers, error) from error
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda image: dict(zip(names, session.run(names, {session.get_inputs()[0].name: image}), strict=True))


def _pictures(channels: int, fixed: tuple[int, ...], examples: Sequence[np.ndarray], *, any_size: bool):
    """Images to compare on: noise, a gradient, the examples; cut or repeated to a fixed size.

    uint8 `[batch, height, width, channels]`; of volumes float32 `[batch, depth, height, width, channels]`.
    """
    random = np.random.default_rng(0)
    if len(fixed) == 3:
        made = [random.normal(size=(1, *fixed, channels)), random.normal(size=(1, *fixed, channels)).cumsum(axis=1)]
        odd = random.normal(size=(2, fixed[0] // 2 + 3, fixed[1] + 1, fixed[2] // 2 + 1, channels))
        return [np.float32(volume) for volume in ([odd, *made] if any_size else made)]
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
            raise differs(name, f"shapes {got['probabilities'].shape} instead of {wanted.shape}")
        difference = float(np.max(np.abs(got["probabilities"] - wanted)))
        if not difference <= tolerance:
            raise differs(name, f"a probability by {difference:.2e}, more than {tolerance:.0e}")
        best = np.sort(wanted, axis=-1)
        near = np.abs(wanted - 0.5) * 2 if config.data.multi_label else best[..., -1] - best[..., -2]
        clear = near > 2 * tolerance
        wrong = np.count_nonzero((got[decision] != ids) & clear)
        if wrong:
            raise differs(name, f"the class of {wrong} of {clear.size} pixels")
        worst = max(worst, difference)
    return worst


def differs(name: str, what: str) -> ExportError:
    return ExportError(
        f"The exported {name} is not the model: loaded again, it differs in {what}. It was not kept.\n"
        "  Layers that behave otherwise outside training, or custom operations, are the usual reason."
    )


def not_converted(name: str, layers: Sequence, error: Exception) -> ExportError:
    """In words why a model has no form in a format."""
    half = sorted({layer.compute_dtype for layer in layers} - {"float32"})
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if "ops:" in line), lines[0] if lines else type(error).__name__)
    advice = (
        f"Its layers compute in {' and '.join(half)}: export it from a float32 model with the same weights, "
        "--precision=float32."
        if half
        else "An operation that the format lacks is the usual reason; saved_model takes every operation."
    )
    return ExportError(f"The model cannot be converted to {name}: {reason[:300]}\n  {advice}")


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
