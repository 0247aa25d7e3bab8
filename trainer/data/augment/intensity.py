"""Effects of scanners and cameras on brightness: gamma, blur, a lower resolution, noise. For images and volumes alike.

Each is applied independently to config.augment.share of the examples, drawn from (seed, example number).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from configs.schema import Augment
from trainer.data.augment.draws import normals, uniforms
from trainer.data.volumes.resampling import resample

# The first of the example's random numbers used here; those before it place and colour the crop.
_FIRST = 48


def varies(augment: Augment) -> bool:
    """Whether any of these effects is on."""
    return augment.share > 0 and (augment.gamma > 0 or augment.blur > 0 or augment.coarsen > 1 or augment.noise > 0)


def vary(crop: np.ndarray, augment: Augment, seed: int, number: int) -> None:
    """Changes float32 `[*space, channels]` in place.

    gamma: x within the crop's range as 0 to 1 becomes x^g, log g uniform within ±log(1 + gamma).
    blur: Gaussian, its deviation uniform up to `blur` pixels.
    coarsen: averaged to a resolution lower by a factor uniform from 1 to `coarsen`, and interpolated back.
    noise: Gaussian, its deviation uniform up to `noise` times the crop's.
    """
    drawn = uniforms(seed, number, _FIRST + 8)[_FIRST:]
    happens = [value < augment.share for value in drawn[:4]]
    space = crop.shape[:-1]
    if augment.gamma and happens[0]:
        low, high = float(crop.min()), float(crop.max())
        if high > low:
            power = (1.0 + augment.gamma) ** (2.0 * drawn[4] - 1.0)
            crop -= np.float32(low)
            crop /= np.float32(high - low)
            np.power(crop, np.float32(power), out=crop)
            crop *= np.float32(high - low)
            crop += np.float32(low)
    if augment.blur and happens[1]:
        for channel in range(crop.shape[-1]):
            crop[..., channel] = ndimage.gaussian_filter(crop[..., channel], augment.blur * drawn[5], mode="reflect")
    if augment.coarsen > 1 and happens[2]:
        factor = 1.0 + (augment.coarsen - 1.0) * drawn[6]
        small = tuple(max(1, round(side / factor)) for side in space)
        for channel in range(crop.shape[-1]):
            coarse = resample(crop[..., channel], small, (1,) * len(space))
            crop[..., channel] = resample(coarse, space, (1,) * len(space))
    if augment.noise and happens[3]:
        deviation = float(crop.std()) * augment.noise * drawn[7]
        crop += normals(seed, number, crop.size).reshape(crop.shape) * np.float32(deviation)
