"""A model at inference, called from the host: batches of whole images, or the tiles of one image of any size."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.models.build import activation, logits_per_pixel, size_multiple
from trainer.models.layers.group_normalization import given_statistics, pooled_statistics
from trainer.prediction import mosaics, tile_grid
from trainer.prediction.mirroring import mirrored
from trainer.prediction.tiling import whole_logits
from trainer.prediction.windows import (
    Plan,
    behind_standardization,
    crop_of_pictures,
    has_pooled_statistics,
    main_logits,
    plan,
    sample_sides,
    sample_starts,
)
from trainer.stepping.segmentation import predicted, probabilities
from trainer.tracing import traced

# Pixels in a batch of small images: enough to keep a device busy, few enough to wait for.
_BATCH = 2**20
# Values of an image at a time in sums over the whole image.
_VALUES = 2**22

# Rows top … bottom - 1 and columns left … right - 1 of an image: `[rows, columns, channels]`, uint8 or float32.
Read = Callable[[int, int, int, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Given:
    """What is known about a whole image before its first tile.

    Attributes:
      shift, scale: its values are standardised as (value - shift) / scale.
      kept: statistics of group normalisation, for each layer in turn.
    """

    shift: np.ndarray
    scale: np.ndarray
    kept: tuple[Any, ...] = ()


class Network:
    """A model with everything that its inference needs, compiled at the first call of each kind.

    Args:
      model: from float32 images `[batch, height, width, channels]`, 0..255, to logits.
      config: `data`, `model`, `augment.crop`, `evaluate.tile` and `evaluate.seams` are read.
      strategy: its replicas on this machine share the work; None runs the model directly.
      mirror: see `trainer.prediction.mirroring`.
      with_probabilities: whether probabilities are also returned for whole images.
      cuts: see `trainer.stepping.segmentation.predicted`.

    Attributes:
      plan: which images are taken whole, and the tiles of others.
      outputs: logits of each pixel.
      replicas: how many batches are computed at a time.
      batch_pixels: at most this many in all images of a batch, unless a single image has more.
    """

    def __init__(
        self,
        model,
        config: Config,
        strategy=None,
        *,
        mirror: bool = False,
        with_probabilities: bool = False,
        cuts: Sequence[float] = (),
    ):
        self.plan: Plan = plan(model, config)
        self.outputs, self._multiple = logits_per_pixel(config), size_multiple(config, model)
        self._channels, self._dtype = config.data.channels, np.uint8 if len(config.data.classes) <= 256 else np.uint16
        self._strategy, self._multi_label = strategy, config.data.multi_label
        self.batch_pixels = min(_BATCH, self.plan.whole)
        # The replicas of this process.
        self.replicas = len(strategy.extended.worker_devices) if strategy is not None else 1
        self._model = model
        # Parts of a model, found only if an image is cut.
        self._network, self._standardizes, self._pools = model, False, False
        if isinstance(getattr(model, "layers", None), list):
            behind = behind_standardization(model)
            self._network, self._standardizes = (model, False) if behind is None else (behind, True)
            self._pools = has_pooled_statistics(model)
        self._crop = crop_of_pictures(model, config)
        self._maybe_mirrored = (
            functools.partial(mirrored, sigmoid=activation(config) == "sigmoid") if mirror else _as_is
        )
        self._with_probabilities, self._cuts = with_probabilities, tuple(cuts)
        sides = (None, None) if self.plan.fitted else self.plan.tile
        self._image = [None, *sides, self._channels]
        numbers = tf.TensorSpec([], tf.float32)
        self._compiled: dict[tuple, Callable] = {}
        self._numbers = [numbers, numbers]

    # --- whole images

    def fits_whole(self, height: int, width: int) -> bool:
        return height * width <= self.plan.whole

    def pictures(self, image: np.ndarray) -> list[mosaics.Part]:
        """The pictures of an image `[height, width, channels]` that are computed separately, mostly just one."""
        if self._crop is None:
            return [mosaics.Part(0, 0, *image.shape[:2])]
        return mosaics.parts(image, self._crop)

    def batch(self, height: int, width: int) -> int:
        """How many images of a size are computed at a time."""
        padded = tile_grid.rounded_up(height, self._multiple) * tile_grid.rounded_up(width, self._multiple)
        return max(1, self.batch_pixels // padded)

    def whole(self, batches: Sequence[np.ndarray]) -> list[dict[str, tf.Tensor]]:
        """Up to `replicas` batches `[n, height, width, channels]` at a time.

        Returns:
          For each "ids" `[n, height, width]`, or for classes that overlap `[n, height, width, classes]` of 0 and 1; and
          "probabilities" float32 `[n, height, width, classes]` if requested.
        """
        kind = batches[0].dtype
        function = self._function(
            ("whole", kind), self._whole, [tf.TensorSpec([None, None, None, self._channels], kind)]
        )
        return self._spread(function, [(batch,) for batch in batches])

    def _whole(self, images):
        def apply(images):
            return main_logits(self._model(images, training=False))

        return self.answers(whole_logits(self._maybe_mirrored(apply), tf.cast(images, tf.float32), self._multiple))

    def answers(self, logits) -> dict[str, tf.Tensor]:
        """The results for logits `[…, height, width, outputs]`."""
        made = {"ids": tf.cast(predicted(logits, self._multi_label, self._cuts), self._dtype)}
        if self._with_probabilities:
            made["probabilities"] = probabilities(logits, self._multi_label)
        return made

    # --- tiles

    def axes(self, height: int, width: int) -> tuple[tile_grid.Axis, tile_grid.Axis]:
        """The tiles of an image, vertically and horizontally."""
        about = {"multiple": self.plan.multiple, "fitted": self.plan.fitted}
        return tuple(
            tile_grid.Axis.of(length, side, self.plan.overlap, **about)
            for length, side in zip((height, width), self.plan.tile, strict=True)
        )

    def given(self, read: Read, height: int, width: int) -> Given:
        """Reads an image for facts that its tiles do not show: a model that standardises needs all of it."""
        shift, scale = np.float32(0), np.float32(1)
        if self._standardizes:
            shift, scale = _mean_and_deviation(read, height, width, self._multiple)
        given = Given(shift, scale)
        if not self._pools:
            return given
        sides = [int(side) for side in sample_sides(self.plan, (height, width))]
        lengths = [max(length, side) for length, side in zip((height, width), sides, strict=True)]
        starts = [s.numpy().tolist() for s in sample_starts(lengths, sides, self.plan.sample)]
        windows = [
            mirrored_read(read, (top, top + sides[0]), (left, left + sides[1]), (height, width))
            for top in starts[0]
            for left in starts[1]
        ]
        windows = np.stack(windows)
        spec = [tf.TensorSpec(self._image, windows.dtype), *self._numbers]
        statistics = self._function(("statistics", windows.dtype), self._statistics, spec)
        return dataclasses.replace(given, kept=tuple(self._spread(statistics, [(windows, shift, scale)])[0]))

    def _statistics(self, windows, shift, scale):
        with pooled_statistics() as kept:
            self._apply(windows, shift, scale)
        return list(kept)

    def _apply(self, parts, shift, scale):
        return main_logits(self._network((tf.cast(parts, tf.float32) - shift) / scale, training=False))

    def tiles(self, batches: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], given: Given) -> list[tf.Tensor]:
        """Up to `replicas` batches of tiles -> their logits, float32 `[n, *tile, outputs]`, times the weights.

        Args:
          batches: tiles `[n, *tile, channels]` with their weights along rows, `[tile height]`, and columns,
            `[n, tile width]`.
          given: facts about the whole image.
        """
        kind = batches[0][0].dtype
        kept = [tf.TensorSpec(value.shape, value.dtype) for value in given.kept]
        spec = [tf.TensorSpec(self._image, kind), *self._numbers, tf.TensorSpec([None], tf.float32)]
        spec += [tf.TensorSpec([None, None], tf.float32), *kept]
        function = self._function(("tiles", kind), self._tiles, spec)
        scales = (given.shift, given.scale)
        calls = [(parts, *scales, down, across, *given.kept) for parts, down, across in batches]
        return self._spread(function, calls)

    def _tiles(self, parts, shift, scale, down, across, *kept):
        def apply(parts):
            if not kept:
                return self._apply(parts, shift, scale)
            with given_statistics(kept):
                return self._apply(parts, shift, scale)

        weights = down[None, :, None, None] * across[:, None, :, None]
        return tf.cast(self._maybe_mirrored(apply)(parts), tf.float32) * weights

    # --- on the device

    def _function(self, key: tuple, function: Callable, signature: list[tf.TensorSpec]) -> Callable:
        if key not in self._compiled:
            if self.replicas == 1:
                self._compiled[key] = traced(function, input_signature=signature)
            else:
                spread = functools.partial(_run, self._strategy, function)
                self._compiled[key] = traced(spread, reduce_retracing=True)
        return self._compiled[key]

    def _spread(self, function: Callable, calls: Sequence[tuple]) -> list:
        """Each call's result, computed in parallel on the replicas."""
        if self.replicas == 1:
            return [function(*arguments) for arguments in calls]
        strategy, count = self._strategy, self.replicas

        def of_replica(position):
            def value(context):
                replica = context.replica_id_in_sync_group % count
                # Replicas without work repeat the last call.
                return tf.convert_to_tensor(calls[min(replica, len(calls) - 1)][position])

            return strategy.experimental_distribute_values_from_function(value)

        made = function(*(of_replica(position) for position in range(len(calls[0]))))
        local = tf.nest.map_structure(strategy.experimental_local_results, made)
        return [_of_replica(local, number) for number in range(len(calls))]


def _run(strategy, function, *arguments):
    return strategy.run(function, args=arguments)


def _as_is(apply):
    return apply


def _of_replica(local, number: int):
    if isinstance(local, dict):
        return {name: _of_replica(value, number) for name, value in local.items()}
    if isinstance(local, list):
        return [_of_replica(value, number) for value in local]
    return local[number]


def mirrored_read(read: Read, rows: tuple[int, int], columns: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """A part of an image, which is mirrored beyond its bottom and right."""
    if rows[1] <= size[0] and columns[1] <= size[1]:
        return read(*rows, *columns)
    down, across = (tile_grid.mirrored_index(*span, length) for span, length in zip((rows, columns), size, strict=True))
    top, left = int(down.min()), int(across.min())
    part = read(top, int(down.max()) + 1, left, int(across.max()) + 1)
    return part[(down - top)[:, None], (across - left)[None, :]]


def _mean_and_deviation(read: Read, height: int, width: int, multiple: int) -> tuple[np.float32, np.float32]:
    """Mean and deviation, at least 1, of all values of an image, padded to the multiple as the whole image would be."""
    high, wide = tile_grid.rounded_up(height, multiple), tile_grid.rounded_up(width, multiple)
    rows = max(1, _VALUES // (wide * 4))
    count, total, squares, middle = 0, 0.0, 0.0, None
    for top in range(0, high, rows):
        part = mirrored_read(read, (top, min(top + rows, high)), (0, wide), (height, width)).astype(np.float64).ravel()
        # Relative to a value near the mean: squares of fractions far from 0 would lose all digits.
        middle = part.mean() if middle is None else middle
        part -= middle
        count, total, squares = count + part.size, total + part.sum(), squares + np.dot(part, part)
    mean = total / count
    variance = max(squares / count - mean**2, 1.0)
    return np.float32(middle + mean), np.float32(np.sqrt(variance))
