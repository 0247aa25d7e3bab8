"""Prediction of images that are arrays in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.errors import UserError
from trainer.models.inputs import input_names
from trainer.prediction.network import Network
from trainer.prediction.postprocessing import PostProcessing
from trainer.prediction.strips import strips, strips_of_pictures
from trainer.prediction.windows import logits_function
from trainer.stepping.segmentation import Segmentation, predicted
from trainer.stepping.segmentation import probabilities as probabilities_of
from trainer.stepping.task import Examples, Task
from trainer.tracing import traced


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

    compute = traced(answer, reduce_retracing=True)
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
    given = [np.asarray(image) for image in images]
    found = [image[..., None] if image.ndim == 2 else image for image in given]
    wrong = [
        f"images[{i}] is {list(given[i].shape)}" for i, image in enumerate(found) if image.shape[2:] != (channels,)
    ]
    if wrong:
        shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if wrong[3:] else "")
        raise UserError(
            f"{shown}: an image is [height, width, {channels}], with as many channels as those of the training."
        )
    wrong = [f"images[{i}] is {list(image.shape)}" for i, image in enumerate(found) if not image.size]
    wrong += [
        f"images[{i}] holds values that are NaN or infinite"
        for i, image in enumerate(found)
        if image.dtype.kind == "f" and not np.isfinite(image).all()
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if wrong[3:] else ""
        raise UserError(f"{', '.join(wrong[:3])}{more}: of that nothing is predicted.")
    return np.stack(found) if hasattr(images, "shape") and found else found
