"""Compares an exported model with the model itself: the pictures for both, and how far they may differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data.errors import DataError
from trainer.data.source import DataSets
from trainer.export.errors import ExportError, differs
from trainer.export.proof import chosen
from trainer.export.saved_model import Predictor
from trainer.export.serving_function import Sizes, decision, serving_function

# Largest allowed difference of a probability, from rounding in another order of operations, by the model's dtype.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}
# Training images that calibrate the ranges of integers, and on which half precision is compared.
_CALIBRATION = 64


def calibration(data: DataSets | None, fixed: tuple[int, ...]) -> list[np.ndarray]:
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


def pictures_for(channels: int, fixed: tuple[int, ...], examples: Sequence[np.ndarray], *, any_size: bool):
    """Images to compare on: noise, a gradient, the examples; cut or repeated to a fixed size.

    uint8 `[batch, height, width, channels]`; for volumes float32 `[batch, depth, height, width, channels]`.
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


def compare(name, predictor: Predictor, model, config: Config, pictures, sizes: Sizes, tolerance: float) -> float:
    """The largest difference of a probability; the ids must agree unless the two best classes are nearly equal."""
    reference, decided, worst = serving_function(model, config, sizes), decision(config), 0.0
    for picture in pictures:
        got, expected = predictor(picture), reference(tf.constant(picture))
        wanted = expected["probabilities"].numpy()
        ids = expected[decided].numpy()
        if got["probabilities"].shape != wanted.shape or got[decided].shape != ids.shape:
            raise differs(name, f"shapes {got['probabilities'].shape} instead of {wanted.shape}")
        difference = float(np.max(np.abs(got["probabilities"] - wanted)))
        if not difference <= tolerance:
            raise differs(name, f"a probability by {difference:.2e}, more than {tolerance:.0e}")
        best = np.sort(wanted, axis=-1)
        near = np.abs(wanted - 0.5) * 2 if config.data.multi_label else best[..., -1] - best[..., -2]
        clear = near > 2 * tolerance
        wrong = np.count_nonzero((got[decided] != ids) & clear)
        if wrong:
            raise differs(name, f"the class of {wrong} of {clear.size} pixels")
        worst = max(worst, difference)
    return worst
