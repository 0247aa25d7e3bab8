"""One scale for the intensities of all volumes, which differ by orders of magnitude from scanner to scanner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

# Of the foreground's intensities, for CT: nnU-Net's.
_PERCENTILES = (0.5, 99.5)
# Foreground voxels taken from each volume.
_TAKEN = 10_000
# Smaller deviations are only rounding.
_SMALLEST = 1e-8


def kinds(normalize: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The normalisation of each channel: the config's `normalize`, or for "auto" by the channel's name in the data."""
    words = tuple(normalize) * len(names) if len(normalize) == 1 else tuple(normalize)
    found = []
    for word, name in zip(words, names, strict=True):
        auto = "ct" if name.strip().lower() == "ct" else "none" if name.strip().lower() == "nonorm" else "z_score"
        found.append(auto if word == "auto" else word)
    return tuple(found)


def empty_values(image: np.ndarray) -> np.ndarray:
    """The value of each channel of `[d, h, w, channels]` where nothing was measured: that of the first corner."""
    return image[0, 0, 0]


def filled_box(image: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box of `[d, h, w, channels]` outside of which every channel has its empty value."""
    filled = np.zeros(image.shape[:3], bool)
    for channel, empty in zip(np.moveaxis(image, -1, 0), empty_values(image), strict=True):
        filled |= channel != empty
    if not filled.any():
        return (slice(None),) * 3
    box = []
    for axis in range(3):
        along = np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(int(along[0]), int(along[-1]) + 1))
    return tuple(box)


def normalized(image: np.ndarray, how: Sequence[str], rows: Sequence[Sequence[float]], empty: np.ndarray) -> np.ndarray:
    """float32 `[d, h, w, channels]`: each channel normalised by `how`.

    "z_score": minus the mean, divided by the deviation, of the non-empty voxels. "ct": clipped to the first two
    numbers of the channel's row, minus the third, divided by the fourth. "none": unchanged. `empty` is a value for each
    channel.
    """
    result = np.empty(image.shape, np.float32)
    for position, kind in enumerate(how):
        channel, out = image[..., position], result[..., position]
        if kind == "ct":
            low, high, mean, deviation = rows[position]
            np.clip(channel, low, high, out=out, casting="unsafe")
            out -= np.float32(mean)
            out /= np.float32(deviation)
        elif kind == "z_score":
            mean, deviation = _moments(channel, empty[position])
            for values, written in zip(channel, out, strict=True):
                written[...] = (values - mean) / deviation
        else:
            out[...] = channel
    return result


def _moments(channel: np.ndarray, empty: float) -> tuple[float, float]:
    """Mean and deviation of the non-empty voxels, in float64, a slice at a time; the deviation is not 0."""
    found = [part[part != empty].astype(np.float64) for part in channel[:: max(1, len(channel) - 1)]]
    # Relative to a value near the mean, so that squares lose no digits.
    near = float(np.mean(np.concatenate(found))) if sum(map(len, found)) else float(empty)
    count, total, squares = 0, 0.0, 0.0
    for part in channel:
        values = part[part != empty].astype(np.float64) - near
        count, total, squares = count + len(values), total + values.sum(), squares + np.square(values).sum()
    if not count:
        return float(empty), 1.0
    mean = total / count
    deviation = max(squares / count - mean**2, 0.0) ** 0.5
    return near + mean, max(deviation, _SMALLEST * max(1.0, abs(near + mean)))


def foreground_values(image: np.ndarray, label: np.ndarray, void_id: int) -> np.ndarray:
    """Some of the voxels of any class but the first, evenly spread, float32 `[voxels, channels]`."""
    inside = np.flatnonzero((label > 0) & (label != void_id))
    step = max(1, len(inside) // _TAKEN)
    return image.reshape(-1, image.shape[-1])[inside[::step][:_TAKEN]].astype(np.float32)


def rows_of(values: Iterable[np.ndarray], channels: int) -> tuple[tuple[float, float, float, float], ...]:
    """(low, high, mean, deviation) of each channel of foreground voxels; (0, 1, 0, 1) if there are none."""
    found = [part for part in values if len(part)]
    if not found:
        return ((0.0, 1.0, 0.0, 1.0),) * channels
    joined = np.concatenate(found).astype(np.float64)
    rows = []
    for channel in joined.T:
        low, high = np.percentile(channel, _PERCENTILES)
        numbers = (low, high if high > low else low + 1.0, channel.mean(), max(channel.std(), 1e-6))
        rows.append(tuple(float(f"{number:.6g}") for number in numbers))
    return tuple(rows)
