"""Messages about lack of memory, in the run's own numbers: what was too large, and what to change."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from configs.reading.validation import size_multiple
from configs.schema import Config
from trainer.errors import EXIT_FAILED, UserError

# TensorFlow's and C++'s own words, if the class of the exception does not show it.
_WORDS = re.compile(
    r"bad_alloc|OUT_OF_MEMORY|out of memory|failed to allocate memory|OOM when|ResourceExhausted|RESOURCE_EXHAUSTED"
    # For Python called from a graph, the class is in the text.
    r"|MemoryError",
    re.IGNORECASE,
)
_NO_DISK = re.compile(r"No space left|[Qq]uota exceeded")
_TENSOR = re.compile(r"shape\s*\[([\d,]+)\] and type (\w+)")
_READING = re.compile(r"while reading (.+?): ")  # of `Source.load_compact`
_ARRAY = re.compile(r"Unable to allocate .* for an array with shape \(([\d, ]+?),?\) and data type (\w+)")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or its cause, is a lack of memory, of the device or of the machine."""
    for link in _chain(error):
        if isinstance(link, MemoryError):
            return True
        if isinstance(link, tf.errors.ResourceExhaustedError):
            return not _NO_DISK.search(str(link))
        if isinstance(link, (tf.errors.InternalError, tf.errors.UnknownError, tf.errors.AbortedError)):
            if _WORDS.search(str(link)):
                return True
    return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def training_memory(error: BaseException, run) -> UserError:
    """The message for a training step that did not fit."""
    config, replicas = run.named_config, run.devices.replicas
    train, crop = config.train, tuple(config.augment.crop)
    micro_batches = run.micro_batches
    at_once = train.batch_size // (replicas * micro_batches)
    models = list(run.task.models().values())
    parameters = sum(math.prod(v.shape) for model in models for v in model.weights)
    moments = sum(math.prod(v.shape) for update in run.state.updates for v in update.optimizer.variables)
    numbers = (
        f"A step holds {_count(at_once, 'image')} of {_by(crop)} pixels at a time: train.batch_size="
        f"{train.batch_size}"
        + (f" over {replicas} replicas" if replicas > 1 else "")
        + f" in {_count(micro_batches, 'micro-batch', 'micro-batches')}. The model has {parameters:,} parameters, "
        f"with the optimizer's {size_of(4 * (parameters + moments))} a replica; the rest are the images' layers, which "
        "grow with images and pixels."
    )
    advice = less_to_train(config, replicas, micro_batches)
    if tf.config.list_physical_devices("GPU") and "TF_GPU_ALLOCATOR" not in os.environ:
        advice.append("TF_GPU_ALLOCATOR=cuda_malloc_async python …  where the GPU's memory is in pieces; docs/gpu.md")
    return _error("training", error, numbers, advice, run.current_step)


def lacking_memory(error: BaseException, config: Config, doing: str) -> UserError:
    """The message for anything but a training step: `doing` is one of the activities below."""
    numbers, advice = _ADVICE.get(doing, _of_tiles)(config)
    return _error(doing, error, numbers, advice, None)


def _of_tiles(config: Config) -> tuple[str, list[str]]:
    tile = tuple(config.evaluate.tile)
    numbers = (
        f"Images are taken one at a time, in tiles of {_by(tile)} pixels (evaluate.tile)."
        if any(tile)
        else "Images are taken one at a time and whole (evaluate.tile=0,0), however large they are."
    )
    return numbers, [f"--config.evaluate.tile={smaller_tile(config)}  smaller tiles"]


def _of_export(config: Config) -> tuple[str, list[str]]:
    numbers, advice = _of_tiles(config)
    crop = config.augment.crop
    numbers = (
        "Each format is written, loaded again and compared with the model on pictures: up to three copies of the model "
        f"are held. LiteRT takes one size, that of the tile or of the training crop ({crop[0]} x {crop[1]})."
    )
    return numbers, ["--formats=saved_model  one format at a time", *advice]


def _of_data(config: Config) -> tuple[str, list[str]]:
    data = config.data
    numbers = (
        f"Up to {data.cache_mib:,} MiB of decoded images are kept (data.cache_mib), in each of "
        f"{data.processes or 1} process(es) its share; an image may have {data.max_pixels:,} pixels (data.max_pixels), "
        f"{size_of(data.max_pixels * max(data.channels, 1))} of 8 bits."
    )
    advice = [f"--config.data.cache_mib={data.cache_mib // 4}  fewer of them"] if data.cache_mib else []
    if data.processes:
        advice.append(f"--config.data.processes={data.processes // 2}  each process opens the data")
    advice.append(f"--config.data.max_pixels={data.max_pixels // 4}  refuses larger images, by their names")
    return numbers, [*advice, "arrays passed as a whole: an object with len() and [i] reads one at a time"]


def _of_model(config: Config) -> tuple[str, list[str]]:
    model, optimizer = config.model, config.optimizer
    copies = "weights, their gradients and the optimizer's moments" + (", and averages" if optimizer.ema_decay else "")
    ours = model.name in ("unet", "encoder_unet")
    width = f" of width {model.width}" if ours else ""
    numbers = f"The model is {model.name}{width}; held are {copies}."
    advice = []
    if ours and model.width > 1:
        advice.append(f"--config.model.width={model.width // 2}  half the channels, a quarter of the weights")
    if model.name == "encoder_unet":
        advice.append("--config.model.encoder=MobileNetV2  the smallest encoder")
    if optimizer.name != "sgd" and ":" not in optimizer.name:
        advice.append("--config.optimizer.name=sgd  one moment in place of two")
    if optimizer.ema_decay:
        advice.append("--config.optimizer.ema_decay=0  without averages of the weights")
    return numbers, advice or ["a smaller model"]


def _of_saving(config: Config) -> tuple[str, list[str]]:
    numbers, advice = _of_model(config)
    numbers += " A checkpoint is copied to the host as a whole before it is written."
    cached = config.data.cache_mib
    cache = [f"--config.data.cache_mib={cached // 4}  fewer decoded images beside it"] if cached else []
    return numbers, [*cache, *advice]


_ADVICE: dict[str, Callable[[Config], tuple[str, list[str]]]] = {
    "evaluation": _of_tiles,
    "prediction": _of_tiles,
    "export": _of_export,
    "reading the data": _of_data,
    "building the model": _of_model,
    "saving or loading a checkpoint": _of_saving,
}


@contextlib.contextmanager
def explaining_memory(config: Config, doing: str) -> Iterator[None]:
    """Inside, a lack of memory, of the device or the host, becomes the message of `lacking_memory`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise lacking_memory(error, config, doing) from error


def smaller_tile(config: Config) -> str:
    """Half of the tile's sides, or 512,512 if images are taken whole; divisible as the model needs."""
    tile = tuple(config.evaluate.tile)
    if not any(tile) and len(config.augment.crop) == 3:
        tile = tuple(config.augment.crop)  # Volumes are processed in windows of its size.
    if not any(tile):
        return "512,512"
    multiple = size_multiple(config)[0]
    return ",".join(str(max(multiple, side // 2 // multiple * multiple)) for side in tile)


def less_to_train(config: Config, replicas: int, micro_batches: int) -> list[str]:
    """Changes that need less memory in training: a flag and its meaning, the mildest first."""
    train, crop, advice = config.train, config.augment.crop, []
    at_once = train.batch_size // (replicas * micro_batches)
    if at_once > 1:
        share = train.batch_size // replicas
        more = next((n for n in range(2 * micro_batches, share + 1) if share % n == 0), share)
        advice.append(f"--config.train.accumulate={more}  the same steps in smaller micro-batches; auto finds how many")
        parts = replicas * micro_batches
        fewer = max(parts, train.batch_size // 2 // parts * parts)
        advice.append(f"--config.train.batch_size={fewer}  fewer images a step, which is another run")
    multiple = size_multiple(config)[0]
    smaller = [max(multiple, side // 2 // multiple * multiple) for side in crop]
    if smaller != list(crop):
        share = "an eighth" if len(crop) == 3 else "a quarter"
        shown = ",".join(map(str, smaller))
        advice.append(f"--config.augment.crop={shown}  smaller crops: {share} of the pixels")
    if config.precision in ("auto", "float32"):
        advice.append("--precision=mixed_bfloat16  half the memory for the layers, on devices that have it")
    if config.model.name in ("unet", "encoder_unet") and config.model.width > 1:
        advice.append(f"--config.model.width={config.model.width // 2}  half the channels")
    if config.data.cache_mib:
        cache = config.data.cache_mib // 4
        advice.append(f"--config.data.cache_mib={cache}  where the machine's memory is short, not the device's")
    return advice or ["a smaller model, or smaller crops"]


def _error(doing: str, error: BaseException, numbers: str, advice: list[str], step: int | None) -> UserError:
    at = f" after step {step}" if step is not None else ""
    reading = next((found[1] for link in _chain(error) if (found := _READING.search(str(link)))), "")
    at += f", at {reading}" if reading else ""
    listed = "\n".join(f"    {line}" for line in advice)
    head = f"Out of memory in {doing}{at}{tensor_of(error)}.\n{numbers}\nWhat takes less:\n{listed}"
    saved = "\nThe same command goes on from the last checkpoint, where there is one." if step else ""
    return UserError(head + saved, exit_code=EXIT_FAILED)


def tensor_of(error: BaseException) -> str:
    """The tensor or array that did not fit, if TensorFlow or NumPy names it: ": no room for …", or ""."""
    for link in _chain(error):
        kind, found = "a tensor", _TENSOR.search(str(link))
        if found is None:
            kind, found = "an array", _ARRAY.search(str(link))
        if found is not None:
            break
    else:
        return ""
    shape = [int(side) for side in found[1].split(",")]
    try:
        item = np.dtype({"float": "float32", "half": "float16", "bfloat16": "float16"}.get(found[2], found[2])).itemsize
    except TypeError:
        item = 4
    return f": no room for {kind} {shape} of {size_of(item * math.prod(shape))}"


def size_of(count: int) -> str:
    """Bytes in the most readable unit."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 2**10:,.0f} KiB"


def _by(sides) -> str:
    return " x ".join(map(str, sides))


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
