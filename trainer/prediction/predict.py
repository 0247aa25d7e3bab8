"""Prediction: images in; for each a mask of class ids and an overlay to look at, in the image's own size.

    <output>/masks/<name>.png      palette PNG: a pixel's value is its class id, the palette makes it visible; of
                                   classes that overlap in the form in which they were read, see `overlapping`
    <output>/overlays/<name>.jpg   the image with the classes' colours over it

and what else `trainer.prediction.outputs` has. `<name>` is the image's path below the folder it was found in, without
its extension, so that masks/ can be used as the masks of a data set of your own. Where two images would have the same
name, as much of their paths is added as tells them apart. An image that is displayed turned (EXIF orientation) is
predicted, and written, as it is displayed.
"""

from __future__ import annotations

import collections
import dataclasses
import glob
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data import IMAGE_SUFFIXES
from trainer.distribution.strategy import Devices
from trainer.errors import UserError
from trainer.evaluation.metrics import probabilities as probabilities_of
from trainer.models.inputs import input_names
from trainer.prediction.files import Done, predict_files
from trainer.prediction.network import Network
from trainer.prediction.outputs import Outputs
from trainer.prediction.postprocessing import PostProcessing
from trainer.prediction.strips import strips, strips_of_pictures
from trainer.prediction.windows import logits_function
from trainer.reporting.memory.out_of_memory import is_out_of_memory, smaller_tile
from trainer.reporting.progress import Progress
from trainer.stepping.segmentation import Segmentation, predicted
from trainer.stepping.task import Examples, Task

# Up to so many images each has a line of its own.
_LINES = 100


@dataclasses.dataclass(frozen=True)
class Failure:
    """An input that could not be predicted, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return self.reason if self.path in self.reason else f"{self.path}: {self.reason}"


def predict(
    model,
    inputs: Sequence[str],
    output_dir: str,
    config: Config,
    *,
    devices: Devices | None = None,
    network: Network | None = None,
    postprocessing: PostProcessing | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[Failure]:
    """Predicts every image that can be read.

    Args:
      model: float32 images `[1, height, width, channels]`, 0..255, to logits `[1, height, width, outputs]`.
      inputs: files, folders (searched with their subfolders) and glob patterns (`**` for any depth).
      output_dir: where masks/ and overlays/ go, or the masks/ among them; made if need be. What lies in it is never an
        input of a folder.
      config: `data`, `model`, `predict` and `evaluate.tile` are read.
      devices: whose replicas and workers share the files; each worker has to call this, and sees the same files.
      network: the model compiled before, with the same options; None compiles it.
      postprocessing: of the masks.
      report: is given a line for each image that is done, or now and then where there are many, and at the end one for
        each failure.

    Returns:
      The inputs that failed, in their order, of all workers; empty when all went well.

    Raises:
      OSError: the output cannot be written.
    """
    paths, failures = find_images(inputs, output_dir)
    # Somebody who writes --output=masks/ means that folder, not masks/masks/.
    base = os.path.normpath(output_dir)
    base = os.path.dirname(base) if os.path.basename(base) == "masks" else base
    outputs = Outputs(base, config.data, config.predict)
    written = tuple(os.path.realpath(os.path.join(base, name)) + os.sep for name in ("overlays", "probabilities"))
    paths = {path: name for path, name in paths.items() if not os.path.realpath(path).startswith(written)}
    worker, workers = (devices.worker, devices.workers) if devices is not None else (0, 1)
    items = list(output_names(paths).items())[worker::workers]
    there = [path for path, name in items if config.predict.skip_existing and outputs.exist(name)]
    items = [(path, name) for path, name in items if path not in set(there)]
    if there:
        report(f"{len(there)} done already: left out (predict.skip_existing)")
    network = network or Network(
        model,
        config,
        devices.strategy if devices is not None and devices.local_replicas > 1 else None,
        mirror=config.predict.mirror,
        with_probabilities=config.predict.probabilities != "none",
        cuts=postprocessing.cuts if postprocessing is not None else (),
    )
    start, done, pixels, progress = time.monotonic(), 0, 0, Progress("predicted", report)
    own: list[Failure] = []

    def finished(image: Done) -> None:
        nonlocal done, pixels
        if image.written is None:
            own.append(Failure(image.path, _reason(image, config)))
            return
        done, pixels = done + 1, pixels + image.pixels
        if len(items) <= _LINES:
            cut = "  in tiles" if 0 < network.plan.whole < image.pixels else ""
            cut = f"  taken apart at its seams, {image.pictures} pictures" if image.pictures > 1 else cut
            far = f", every {_ordinal(image.written.step)} pixel in the overlay" if image.written.step > 1 else ""
            shown = _shares(image.written.counts, image.pixels, config.data.classes)
            report(f"{image.path} -> {image.written.mask}  {shown}{cut}{far}")

    def moved(now: int, expected: int) -> None:
        progress(done, len(items), pixels=now, expected=expected)

    trouble = None
    try:
        predict_files(network, items, outputs, config, postprocessing=postprocessing, done=finished, moved=moved)
    except OSError as error:
        if workers == 1:
            raise
        # The others wait at the end.
        trouble = error
        own.append(Failure(outputs.folder, f"cannot be written: {error}"))
    seconds = time.monotonic() - start
    if workers > 1:
        own = _of_all_workers(own, devices)
        done, pixels, skipped = (int(devices.sum_over_workers(n)) for n in (done, pixels, len(there)))
    else:
        skipped = len(there)
    order = {path: number for number, path in enumerate(paths)}
    failures += sorted(own, key=lambda failure: order.get(failure.path, len(order)))
    for failure in failures:
        report(f"not predicted: {failure}")
    beside = [f"{name}/" for name in ("overlays", "probabilities") if _wanted(name, config)]
    also = f" and {' and '.join(beside)} beside it" if beside else ""
    speed = f", {pixels / 1e6 / seconds:.1f} MP/s" if pixels > 1e6 and seconds > 1 else ""
    before = f", {skipped} before" if skipped else ""
    total = done + skipped + len(failures)
    report(f"{done} of {total} done{before}{speed}: {os.path.join(base, 'masks')}{also}")
    if trouble is not None:
        raise trouble
    return failures


def _wanted(name: str, config: Config) -> bool:
    return config.predict.overlays if name == "overlays" else config.predict.probabilities != "none"


def _ordinal(number: int) -> str:
    return {1: "", 2: "second", 3: "third"}.get(number, f"{number}th")


def _reason(image: Done, config: Config) -> str:
    if not is_out_of_memory(image.trouble):
        return str(image.trouble)
    tile = config.evaluate.tile
    how = f"in tiles of {tile[0]} x {tile[1]}" if any(tile) else "as they were taken"
    return (
        f"{image.pixels:,} pixels {how} do not fit in memory. In smaller tiles they may: "
        f"--config.evaluate.tile={smaller_tile(config)}"
    )


def _of_all_workers(own: list[Failure], devices: Devices) -> list[Failure]:
    """Every worker's failures, on every worker: bytes of text, each worker's at a place of its own, added up."""
    text = json.dumps([(failure.path, failure.reason) for failure in own]).encode()
    lengths = np.zeros([devices.workers], np.float64)
    lengths[devices.worker] = len(text)
    ends = np.cumsum(devices.sum_over_workers(lengths)).astype(int)
    numbers = np.zeros([ends[-1]], np.float64)
    numbers[ends[devices.worker] - len(text) : ends[devices.worker]] = np.frombuffer(text, np.uint8)
    everything = devices.sum_over_workers(numbers).astype(np.uint8).tobytes()
    parts = [everything[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [Failure(*failure) for part in parts for failure in json.loads(part.decode())]


def are_paths(images) -> bool:
    """Whether images are given by the names of files."""
    if isinstance(images, (str, os.PathLike)):
        raise UserError(f"predict takes a list of paths: [{os.fspath(images)!r}].")
    if isinstance(images, Mapping):
        return False
    return not hasattr(images, "shape") and len(images) > 0 and all(isinstance(i, (str, os.PathLike)) for i in images)


def predict_arrays(task: Task, images, config: Config, postprocessing: PostProcessing | None = None):
    """Predicts images that are arrays.

    Args:
      task: with its weights.
      images: `[batch, height, width, channels]`, or a list of `[height, width, channels]`, values as in training; or a
        mapping of such arrays by the names of the model's inputs.
      config, postprocessing: as for `predict`.

    Returns:
      int32 class ids `[height, width]` for each, in a list, or stacked where an array came in; of classes that overlap
      0 and 1, `[height, width, classes]`; of a task that is no segmentation what its `predict` gives, likewise.
    """
    batches = dict(images) if isinstance(images, Mapping) else {"image": images}
    if "image" not in batches:
        raise UserError(f"predict takes images, or a mapping with 'image'. This has {', '.join(batches) or 'nothing'}.")
    wanted = config.predict.probabilities
    if wanted == "png":
        raise UserError("predict.probabilities=png is a kind of file; of arrays: probabilities='float16'.")
    batches["image"] = with_channels(batches["image"], config.data.channels)
    post = postprocessing or PostProcessing(classes=tuple(config.data.classes))
    count = len(next(iter(batches.values())))
    stacked = hasattr(next(iter(batches.values())), "shape") and count > 0
    if isinstance(task, Segmentation) and len(input_names(task.model)) <= 1:
        probabilities = wanted != "none"
        network = Network(
            task.model, config, mirror=config.predict.mirror, with_probabilities=probabilities, cuts=post.cuts
        )
        results = _through(network, batches["image"], "probabilities" if probabilities else "ids")
        results = results if probabilities else [post(ids) for ids in results]
        return np.stack(results) if stacked else results
    segments, results = isinstance(task, Segmentation), []
    if wanted != "none" and not segments:
        raise UserError("predict.probabilities: this task is no segmentation, and gives what its `predict` gives.")
    mirroring = dataclasses.replace(config.evaluate, mirror=config.predict.mirror)
    logits_of = logits_function(task.model, dataclasses.replace(config, evaluate=mirroring)) if segments else None
    multi_label = config.data.multi_label

    def answer(batch):
        if not segments:
            return task.predict(Examples(batch))
        logits = logits_of(batch)
        return predicted(logits, multi_label, post.cuts) if wanted == "none" else probabilities_of(logits, multi_label)

    compute = tf.function(answer, reduce_retracing=True)
    for i in range(count):
        batch = {key: tf.convert_to_tensor(np.asarray(values[i])[None]) for key, values in batches.items()}
        batch["image"] = tf.cast(batch["image"], tf.float32)
        result = compute(batch)
        result = tf.nest.map_structure(lambda value: value[0].numpy(), result)
        if wanted != "none":
            result = result.astype(np.float16)
        results.append(post(result) if segments and wanted == "none" else result)
    if not stacked:
        return results
    # Stacked as the images were; what a task gives may be a mapping of arrays.
    return tf.nest.map_structure(lambda *values: np.stack(values), *results)


def _through(network: Network, images, part: str) -> list[np.ndarray]:
    """Each image's ids, int32, or probabilities; neighbours of one size together."""
    images = [image if image.dtype == np.uint8 else np.asarray(image, np.float32) for image in images]
    apart = [network.pictures(image) for image in images]
    results: list[np.ndarray] = []
    while len(results) < len(images):
        first = images[len(results)]
        height, width = first.shape[:2]
        if len(apart[len(results)]) > 1:
            made = strips_of_pictures(network, first, apart[len(results)])
            results.append(np.concatenate([getattr(strip, part) for strip in made]))
            continue
        if not network.fits_whole(height, width):

            def read(top, bottom, left, right, image=first):
                return image[top:bottom, left:right]

            results.append(np.concatenate([getattr(s, part) for s in strips(network, read, height, width)]))
            continue
        alike = images[len(results) : len(results) + network.batch(height, width)]
        same = [
            (image.shape, image.dtype) == (first.shape, first.dtype) and len(apart[len(results) + n]) == 1
            for n, image in enumerate(alike)
        ]
        alike = alike[: same.index(False) if False in same else None]
        results += list(network.whole([np.stack(alike)])[0][part].numpy())
    return [result.astype(np.int32 if part == "ids" else np.float16) for result in results]


def with_channels(images, channels: int):
    """Images `[height, width, channels]`, an array or a list of them; grey ones may come without the last axis."""
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) == 3 and shape[2] == channels:
        raise UserError(f"images is {list(shape)}, one image alone: write a list, [image], or image[None].")
    found = [np.asarray(image) for image in images]
    found = [image[..., None] if image.ndim == 2 else image for image in found]
    wrong = [f"images[{i}] is {list(image.shape)}" for i, image in enumerate(found) if image.shape[2:] != (channels,)]
    if wrong:
        shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if wrong[3:] else "")
        raise UserError(
            f"{shown}: an image is [height, width, {channels}], with as many channels as those of the training."
        )
    return np.stack(found) if hasattr(images, "shape") and found else found


def find_images(inputs: Sequence[str], output_dir: str = "") -> tuple[dict[str, str], list[Failure]]:
    """Expands files, folders and globs.

    Returns:
      (path -> its path below the folder that was searched, in order and each once; the inputs that led nowhere).
    """
    found, failures = expanded(
        inputs,
        lambda folder: _images_below(folder, output_dir),
        f"no image in it; looked for {', '.join(IMAGE_SUFFIXES)}",
    )
    return found, failures


def expanded(
    inputs: Sequence[str], below: Callable[[str], Sequence[str]], nothing: str, is_one=lambda path: False
) -> tuple[dict[str, str], list[Failure]]:
    """Files, folders and patterns as paths.

    Args:
      inputs: as they were given.
      below: what lies in a folder.
      nothing: the reason of a folder in which there is nothing.
      is_one: whether a folder is an input by itself, as a DICOM series.

    Returns:
      As `find_images`.
    """
    found: dict[str, str] = {}
    failures = []
    for given in inputs:
        text = os.path.expanduser(given)
        # A file may be called "a[1].png": what exists as it is written is no pattern.
        matches = [text] if os.path.lexists(text) else sorted(glob.glob(text, recursive=True))
        held = 0
        for match in matches:
            is_folder = os.path.isdir(match) and not is_one(match)
            paths = [(path, os.path.relpath(path, match)) for path in below(match)] if is_folder else []
            paths = paths if is_folder else [(os.path.normpath(match), os.path.basename(match))]
            held += len(paths)
            for path, name in paths:
                found.setdefault(path, name)
        if not matches:
            what = "no file matches this pattern" if glob.has_magic(text) else "there is no such file or folder"
            failures.append(Failure(given, what))
        elif not held:
            failures.append(Failure(given, nothing))
    return found, failures


def _images_below(folder: str, output_dir: str) -> list[str]:
    output = os.path.realpath(output_dir) if output_dir else None
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(parent, name)) != output
        )
        paths += [
            os.path.normpath(os.path.join(parent, name))
            for name in sorted(files)
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        ]
    return paths


def output_names(paths: dict[str, str]) -> dict[str, str]:
    """Names for the outputs, without extension, no two alike (nor alike but for upper and lower case).

    Args:
      paths: path -> the name wished for, with extension.
    """
    names = {path: os.path.splitext(wish)[0] for path, wish in paths.items()}
    for group in _alike(names):
        # The same name in several folders: the part of the path in which the folders differ goes before it.
        folders = {path: os.path.dirname(os.path.abspath(path)) for path in group}
        common = os.path.commonpath(folders.values())
        for path in group:
            names[path] = os.path.splitext(os.path.relpath(os.path.abspath(path), common))[0]
    for group in _alike(names):
        # a.jpg beside a.png.
        for path in group:
            names[path] += os.path.splitext(path)[1].replace(".", "_")
    for group in _alike(names):
        for number, path in enumerate(group[1:], start=2):
            names[path] += f"_{number}"
    return names


def _alike(names: dict[str, str]) -> Iterable[list[str]]:
    groups = collections.defaultdict(list)
    for path, name in names.items():
        groups[name.casefold()].append(path)
    return [group for group in groups.values() if len(group) > 1]


def shares(mask: np.ndarray, classes: Sequence[str]) -> str:
    """The share of each class that occurs, largest first: "background 91.2 %, nucleus 8.8 %"."""
    counts = mask.sum(axis=(0, 1)) if mask.ndim == 3 else np.bincount(mask.ravel(), minlength=len(classes))
    return _shares(counts, mask.shape[0] * mask.shape[1], classes)


def _shares(counts: np.ndarray, pixels: int, classes: Sequence[str]) -> str:
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{classes[i]} {100 * counts[i] / pixels:.1f} %" for i in order if counts[i]) or "no class"
