"""Images that look nearly the same, by a hash of the places where brightness rises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

# Of 256 bits of a perceptual hash. Neighbouring slices of one volume differ in some ten, other images in about 100.
ALIKE_BITS = 12
MOST_COMPARED = 25_000_000


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Where brightness rises from left to right in 16 x 17 blocks, bool `[256]`: similar for images that look alike."""
    # For a volume, its middle slice.
    image = image[len(image) // 2] if image.ndim == 4 else image
    grey = image.astype(np.float32).mean(axis=2)
    small = np.asarray(Image.fromarray(grey).resize((17, 16), Image.Resampling.BOX))
    return (small[:, 1:] > small[:, :-1]).ravel()


def alike(names: Sequence[str], hashes: np.ndarray) -> list[str]:
    """Pairs among images that look nearly the same; `hashes` is bool `[images, 256]`."""
    if len(names) ** 2 > MOST_COMPARED:
        return []
    bits = hashes.astype(np.float32)
    differ = np.tril(np.full((len(names), len(names)), 256.0)) + bits @ (1 - bits.T) + (1 - bits) @ bits.T
    # A single colour has no bit set, and is like no other image.
    differ[~hashes.any(axis=1)] = 256.0
    return [f"{names[row]} ~ {names[column]}" for row, column in np.argwhere(differ <= ALIKE_BITS)]
