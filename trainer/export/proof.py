"""The scores of an exported model on the validation images, and its time, beside the model's own."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from configs.schema import Config
from trainer.data.errors import DataError
from trainer.data.source import Source
from trainer.evaluation.metrics import confusion_of, evaluation_of, image_counts
from trainer.export.serving.postprocess import decided
from trainer.export.serving.serve import predict as predict_in_tiles
from trainer.prediction.postprocessing import PostProcessing

# Images scored; of more, this many, evenly spaced.
_MOST = 100

# uint8 [height, width, channels] -> probabilities [height, width, classes].
Probabilities = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Proof:
    """Scores of one format, or of the model itself.

    mean_dice: as in an evaluation, NaN if no image counts.
    seconds: the median for an image on this machine, without reading.
    images: how many were scored.
    """

    mean_dice: float
    seconds: float
    images: int


def whole(predictor, outputs: str = "probabilities") -> Probabilities:
    """For a format that takes images of any size."""
    return lambda image: predictor(image[None])[outputs][0]


def in_tiles(predictor, fixed: tuple[int, int]) -> Probabilities:
    """For a format that takes one size: by tiles, as in the program exported with it."""
    return lambda image: predict_in_tiles(lambda image: predictor(image), image, *fixed)


def prove(
    predict: Probabilities, source: Source, config: Config, postprocessing: PostProcessing | None = None
) -> Proof:
    """Scores predictions on a split's examples, at their own size, after post-processing.

    Raises:
      DataError: no example can be read.
    """
    post = postprocessing or PostProcessing(classes=tuple(config.data.classes), multi_label=config.data.multi_label)
    classes, void_id, multi_label = len(config.data.classes), config.data.void_id, config.data.multi_label
    names, counts, times, total = [], [], [], 0
    for index in chosen(len(source)):
        try:
            example = source.load(index)
        except DataError:
            continue  # the evaluation and --mode=check name it
        if example.label is None or example.image.dtype != np.uint8:
            continue
        started = time.perf_counter()
        probabilities = predict(example.image)
        times.append(time.perf_counter() - started)
        mask = post(decided(probabilities, post.steps()), name=example.name)
        confusion = confusion_of(example.label, mask, classes, void_id, multi_label)
        counts.append(image_counts(confusion, multi_label))
        total = total + confusion
        names.append(example.name)
    if not names:
        raise DataError("none of the validation images of 8 bits has a label")
    scores = evaluation_of(np.stack(counts), total, config.data.classes, chosen=config.evaluate.classes, names=names)
    # The first call traces or allocates.
    return Proof(scores.mean_dice, statistics.median(times[1:] or times), len(names))


def chosen(length: int, most: int = _MOST) -> Sequence[int]:
    """All indices, or this many, evenly spaced."""
    return range(length) if length <= most else np.unique(np.linspace(0, length - 1, most).astype(int)).tolist()


def in_words(proof: Proof, model: Proof) -> str:
    """mean Dice 0.9181, 0.0003 below the model's, on 40 images; 83 ms an image."""
    below = model.mean_dice - proof.mean_dice
    if proof is model or math.isnan(below):
        than = ""
    elif abs(below) < 5e-5:
        than = ", the model's own,"
    else:
        than = f", {abs(below):.4f} {'below' if below > 0 else 'above'} the model's,"
    milliseconds = 1000 * proof.seconds
    return f"mean Dice {proof.mean_dice:.4f}{than} on {proof.images} images; {milliseconds:.3g} ms an image"
