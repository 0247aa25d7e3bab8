"""Prediction: images in; for each a mask of class ids and an overlay to look at, in the image's own size.

    <output>/masks/<name>.png      palette PNG: a pixel's value is its class id, the palette makes it visible; of
                                   classes that overlap in the form in which they were read, see `overlapping`
    <output>/overlays/<name>.png   the image with the classes' colours over it

`<name>` is the image's path below the folder it was found in, without its extension, so that masks/ can be used as
the masks of a data set of one's own. Where two images would have the same name, as much of their paths is added as
tells them apart. An image that is displayed turned (EXIF orientation) is predicted, and written, as it is displayed.
"""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from configs.schema import Config
from trainer.data import IMAGE_SUFFIXES, read_image
from trainer.errors import UserError
from trainer.evaluation.overlapping import write_overlapping
from trainer.evaluation.windows import logits_function
from trainer.reporting.memory import is_out_of_memory, smaller_tile
from trainer.reporting.panels import class_colors, overlay, rgb
from trainer.stepping.segmentation import Segmentation, predicted
from trainer.stepping.task import Task


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
    report: Callable[[str], None] = lambda line: None,
) -> list[Failure]:
    """Predicts every image that can be read.

    Args:
      model: float32 images `[1, height, width, channels]`, 0..255, to logits `[1, height, width, outputs]`.
      inputs: files, folders (searched with their subfolders) and glob patterns (`**` for any depth).
      output_dir: where masks/ and overlays/ go, or the masks/ among them; made if need be. What lies in it is never an
        input of a folder.
      config: `data`, `model` and `evaluate.tile` are read.
      report: is given a line for each image that is done, then one for each failure.

    Returns:
      The inputs that failed, in their order; empty when all went well.

    Raises:
      OSError: the output cannot be written.
    """
    paths, failures = find_images(inputs, output_dir)
    # Somebody who writes --output=masks/ means that folder, not masks/masks/.
    base = os.path.normpath(output_dir)
    base = os.path.dirname(base) if os.path.basename(base) == "masks" else base
    masks, overlays = os.path.join(base, "masks"), os.path.join(base, "overlays")
    written = os.path.realpath(overlays) + os.sep
    paths = {path: name for path, name in paths.items() if not os.path.realpath(path).startswith(written)}
    predicted_ids, tiled = _compiled(model, config)
    done = 0
    for path, name in output_names(paths).items():
        try:
            image = read_image(path, config.data)
        except (UserError, OSError) as error:
            failures.append(Failure(path, str(error)))
            continue
        try:
            mask = predicted_ids(image[None].astype(np.float32))[0].numpy()
        except (tf.errors.OpError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            height, width = image.shape[:2]
            tile = config.evaluate.tile
            how = f"in tiles of {tile[0]} x {tile[1]}" if any(tile) else "as they were taken"
            text = (
                f"{width} x {height} pixels {how} do not fit in memory. In smaller tiles they may: "
                f"--config.evaluate.tile={smaller_tile(config)}"
            )
            failures.append(Failure(path, text))
            continue
        if config.data.multi_label:
            write_overlapping(masks, name, mask, config.data)
        else:
            write_mask(os.path.join(masks, name + ".png"), mask, config.data.classes)
        picture = overlay(rgb(image), mask, classes=config.data.classes)
        _save(Image.fromarray(picture), os.path.join(overlays, name + ".png"))
        cut = "  in tiles" if tiled(mask.shape[0] * mask.shape[1]) else ""
        report(f"{path} -> {name}.png  {shares(mask, config.data.classes)}{cut}")
        done += 1
    for failure in failures:
        report(f"not predicted: {failure}")
    report(f"{done} of {done + len(failures)} done: {masks} and overlays/ beside it")
    return failures


def are_paths(images) -> bool:
    """Whether images are given by the names of files."""
    if isinstance(images, (str, os.PathLike)):
        raise UserError(f"predict takes a list of paths: [{os.fspath(images)!r}].")
    if isinstance(images, Mapping):
        return False
    return not hasattr(images, "shape") and len(images) > 0 and all(isinstance(i, (str, os.PathLike)) for i in images)


def predict_arrays(task: Task, images, config: Config):
    """Predicts images that are arrays.

    Args:
      task: with its weights.
      images: `[batch, height, width, channels]`, or a list of `[height, width, channels]`, values as in training; or a
        mapping of such arrays by the names of the model's inputs.
      config: as for `predict`.

    Returns:
      int32 class ids `[height, width]` for each, in a list, or stacked where an array came in; of classes that overlap
      0 and 1, `[height, width, classes]`; of a task that is no segmentation what its `predict` gives, likewise.
    """
    batches = dict(images) if isinstance(images, Mapping) else {"image": images}
    if "image" not in batches:
        raise UserError(f"predict takes images, or a mapping with 'image'. This has {', '.join(batches) or 'nothing'}.")
    batches["image"] = with_channels(batches["image"], config.data.channels)
    count = len(next(iter(batches.values())))
    segments, results = isinstance(task, Segmentation), []
    logits_of = logits_function(task.model, config) if segments else None
    compute = tf.function(
        (lambda batch: predicted(logits_of(batch), config.data.multi_label)) if segments else task.predict,
        reduce_retracing=True,
    )
    for i in range(count):
        batch = {key: tf.convert_to_tensor(np.asarray(values[i])[None]) for key, values in batches.items()}
        batch["image"] = tf.cast(batch["image"], tf.float32)
        result = compute(batch)
        results.append(tf.nest.map_structure(lambda value: value[0].numpy(), result))
    return np.stack(results) if hasattr(next(iter(batches.values())), "shape") and count and segments else results


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


def _compiled(model, config: Config):
    """(float32 image `[1, h, w, channels]` of any size -> int32 ids `[1, h, w]`, in one trace; whether so many pixels
    are cut into tiles without having been asked to)."""
    logits_of = logits_function(model, config)
    plan = getattr(logits_of, "plan", None)
    image = tf.TensorSpec([1, None, None, config.data.channels], tf.float32)
    compute = tf.function(
        lambda image: predicted(logits_of({"image": image}), config.data.multi_label), input_signature=[image]
    )
    return compute, lambda pixels: plan is not None and 0 < plan.whole < pixels


def find_images(inputs: Sequence[str], output_dir: str = "") -> tuple[dict[str, str], list[Failure]]:
    """Expands files, folders and globs.

    Returns:
      (path -> its path below the folder that was searched, in order and each once; the inputs that led nowhere).
    """
    found: dict[str, str] = {}
    failures = []
    for given in inputs:
        text = os.path.expanduser(given)
        # A file may be called "a[1].png": what exists as it is written is no pattern.
        matches = [text] if os.path.lexists(text) else sorted(glob.glob(text, recursive=True))
        before = len(found)
        for match in matches:
            if os.path.isdir(match):
                for path in _images_below(match, output_dir):
                    found.setdefault(path, os.path.relpath(path, match))
            else:
                found.setdefault(os.path.normpath(match), os.path.basename(match))
        if not matches:
            what = "no file matches this pattern" if glob.has_magic(text) else "there is no such file or folder"
            failures.append(Failure(given, what))
        elif len(found) == before and all(os.path.isdir(match) for match in matches):
            if not any(_images_below(match, output_dir) for match in matches):
                failures.append(Failure(given, f"no image in it; looked for {', '.join(IMAGE_SUFFIXES)}"))
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


def write_mask(path: str, mask: np.ndarray, classes: Sequence[str]) -> None:
    """Writes class ids `[height, width]` as a PNG whose pixel values are the ids.

    Up to 256 classes it has a palette, which viewers show in colours; with more it is 16-bit grey.
    """
    if len(classes) <= 256:
        picture = Image.fromarray(mask.astype(np.uint8)).convert("L")
        picture.putpalette(class_colors(classes).ravel().tolist())
    else:
        picture = Image.fromarray(mask.astype(np.uint16))
    _save(picture, path)


def _save(picture: Image.Image, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    picture.save(path, format="PNG")


def shares(mask: np.ndarray, classes: Sequence[str]) -> str:
    """The share of each class that occurs, largest first: "background 91.2 %, nucleus 8.8 %"."""
    counts = mask.sum(axis=(0, 1)) if mask.ndim == 3 else np.bincount(mask.ravel(), minlength=len(classes))
    pixels = mask.shape[0] * mask.shape[1]
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{classes[i]} {100 * counts[i] / pixels:.1f} %" for i in order if counts[i]) or "no class"
