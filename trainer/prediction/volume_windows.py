"""Runs a whole volume through a network in windows, in memory that does not grow with its depth.

Windows overlap, and their logits for a voxel are averaged with the weights of a Gaussian around each window's centre,
where a network sees most of the surroundings (nnU-Net, Isensee et al. 2021). The volume is processed from its first
slice to its last: only as many slices of logits are held as a window is deep, and slices that no further window
reaches are brought to the image's own grid and become class ids at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data.volumes.resampling import matrix, places
from trainer.models.build import activation, logits_per_pixel
from trainer.models.inputs import fixed_size
from trainer.prediction.mirroring import mirrored
from trainer.prediction.windows import main_logits
from trainer.stepping.segmentation import probabilities
from trainer.tracing import traced

# The Gaussian's deviation as a share of a window's side, nnU-Net's.
_DEVIATION = 1 / 8
# The least weight, so that a corner that only one window sees is not lost to rounding.
_LEAST = 1e-3


def window_of(model: keras.Model, config: Config) -> tuple[int, int, int]:
    """Sides of the windows: the model's one size, evaluate.tile, or the training crop."""
    tile = tuple(config.evaluate.tile)
    return fixed_size(model) or (tile if len(tile) == 3 and any(tile) else tuple(config.augment.crop))


def starts(length: int, window: int, overlap: float) -> list[int]:
    """The starts of windows along an axis that is at least as long: even, with at least `overlap` shared."""
    step = max(1, math.floor(window * (1.0 - overlap)))
    count = -(-(length - window) // step) + 1
    room = length - window
    return [round(room * number / (count - 1)) if count > 1 else 0 for number in range(count)]


def gaussian(window: Sequence[int]) -> np.ndarray:
    """The weight of each voxel of a window, float32 `[*window]`, 1 at the centre."""
    along = []
    for side in window:
        at = (np.arange(side) - (side - 1) / 2.0) / (side * _DEVIATION)
        along.append(np.exp(-0.5 * at**2))
    weights = along[0][:, None, None] * along[1][None, :, None] * along[2][None, None, :]
    return np.maximum(weights / weights.max(), _LEAST).astype(np.float32)


class VolumeNetwork:
    """A model applied to whole volumes.

    Args:
      model: float32 `[batch, depth, height, width, channels]` to logits.
      config: evaluate.tile, window_overlap and mirror, and the axes mirrored by augmentation, are read.
      cuts: see `trainer.stepping.segmentation.predicted`.
    """

    def __init__(self, model: keras.Model, config: Config, cuts: Sequence[float] = ()):
        self.window = window_of(model, config)
        self.outputs = logits_per_pixel(config)
        self.overlap = config.evaluate.window_overlap
        augment = config.augment
        flips = (augment.flip_depth, augment.flip_vertical, augment.flip_horizontal)
        axes = [axis for axis, on in enumerate(flips, start=1) if on and config.evaluate.mirror]

        def apply(image):
            return tf.cast(main_logits(model(image, training=False)), tf.float32)

        seen = mirrored(apply, sigmoid=activation(config) == "sigmoid", axes=axes) if axes else apply
        signature = tf.TensorSpec([1, *self.window, config.data.channels], tf.float32)
        self._apply = traced(seen, input_signature=[signature])
        self._cut = float(cuts[0]) if cuts else 0.0
        self._weights = gaussian(self.window)[..., None]

    def slices(self, image: np.ndarray, progress: Callable[[], None] = lambda: None) -> Iterator[np.ndarray]:
        """Logits of a volume `[depth, height, width, channels]`, slice by slice: float32 `[height, width, outputs]`.

        A volume smaller than a window is extended by mirroring, as training crops are.
        """
        shape, sides = image.shape[:3], [max(pair) for pair in zip(image.shape, self.window, strict=False)]
        missing = [(0, side - length) for side, length in zip(sides, shape, strict=True)]
        if any(after for _, after in missing):
            image = np.pad(image, [*missing, (0, 0)], mode="symmetric")
        depth, height, width = self.window
        downs, rows, columns = (
            starts(side, window, self.overlap) for side, window in zip(sides, self.window, strict=True)
        )
        total = np.zeros((depth, *sides[1:], self.outputs), np.float32)
        weight = np.zeros((depth, *sides[1:], 1), np.float32)
        for down, following in zip(downs, [*downs[1:], sides[0]], strict=True):
            for row, column in itertools.product(rows, columns):
                part = image[down : down + depth, row : row + height, column : column + width]
                place = (slice(None), slice(row, row + height), slice(column, column + width))
                logits = self._apply(tf.convert_to_tensor(np.ascontiguousarray(part[None], np.float32)))
                total[place] += logits.numpy()[0] * self._weights
                weight[place] += self._weights
                progress()
            done = following - down
            for number in range(done):
                if down + number < shape[0]:
                    yield (total[number] / weight[number])[: shape[1], : shape[2]]
            # The slices that the next windows reach are moved to the front.
            for held in (total, weight):
                held[: depth - done] = held[done:].copy()
                held[depth - done :] = 0

    def windows(self, shape: Sequence[int]) -> int:
        """The number of windows for a volume `[depth, height, width]`."""
        sides = [max(pair) for pair in zip(shape, self.window, strict=True)]
        counts = [len(starts(s, w, self.overlap)) for s, w in zip(sides, self.window, strict=True)]
        return math.prod(counts)

    def class_ids(
        self,
        image: np.ndarray,
        shape: Sequence[int],
        kept: list[np.ndarray] | None = None,
        shares: np.ndarray | None = None,
    ) -> np.ndarray:
        """The class of each voxel on a grid of `shape` that covers the same box: uint8, or int32 for many classes.

        Args:
          image: `[depth, height, width, channels]`.
          shape: the grid's.
          kept: gets the logits of each slice of the network's own grid, if they fit in memory.
          shares: `[*shape, classes]`, gets the probabilities.
        """
        kind = np.uint8 if self.outputs <= 256 else np.int32
        ids = np.empty(tuple(shape), kind)
        slices = self.slices(image) if kept is None else _keeping(self.slices(image), kept)
        for number, logits in enumerate(on_grid(slices, image.shape[:3], shape)):
            if self.outputs <= 2:  # the decision is about the second class
                ids[number] = (logits[..., 0] if self.outputs == 1 else logits[..., 1] - logits[..., 0]) > self._cut
            else:
                ids[number] = np.argmax(logits, axis=-1)
            if shares is not None:
                shares[number] = probabilities(logits).numpy()
        return ids


def _keeping(slices: Iterator[np.ndarray], kept: list[np.ndarray]) -> Iterator[np.ndarray]:
    for logits in slices:
        kept.append(logits)
        yield logits


def on_grid(slices: Iterator[np.ndarray], before: Sequence[int], after: Sequence[int]) -> Iterator[np.ndarray]:
    """Slices `[height, width, outputs]` of one grid, linearly interpolated to another's as they come."""
    if tuple(before) == tuple(after):
        yield from slices
        return
    low, high, share = places(before[0], after[0])
    down, across = matrix(before[1], after[1], 1), matrix(before[2], after[2], 1)

    def in_plane(plane: np.ndarray) -> np.ndarray:
        if plane.shape[:2] == tuple(after[1:]):
            return plane
        outputs = [down @ plane[..., number] @ across.T for number in range(plane.shape[-1])]
        return np.stack(outputs, axis=-1)

    held: dict[int, np.ndarray] = {}
    reached = -1
    for number in range(after[0]):
        while reached < high[number]:
            reached += 1
            held[reached] = in_plane(next(slices))
        for older in [position for position in held if position < low[number]]:
            del held[older]
        first, second = held[int(low[number])], held[int(high[number])]
        yield first if not share[number] else first + share[number] * (second - first)
    for _ in slices:  # so that the last windows are processed, for progress
        pass
