"""Random numbers as functions of their names: (seed, epoch) gives an order, (seed, example number) gives draws.

Philox is a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the key
names the stream, so that no state is stored and no earlier numbers have to be drawn. Only raw words come from NumPy's
bit generator, whose output NumPy promises not to change, unlike the distributions built on it.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import special

# The user's functions come last, with numbers from here up.
_ORDER, _AUGMENT, _FUNCTIONS = 1, 2, 3
_NOISE, _BEND = 2**32, 2**32 + 1
_WORD = 2**64


def _bits(seed: int, number: int, stream: int) -> np.random.Philox:
    key = np.array([seed % _WORD, number % _WORD], np.uint64)
    return np.random.Philox(key=key, counter=np.array([0, 0, 0, stream], np.uint64))


@functools.lru_cache(maxsize=4)
def order(seed: int, epoch: int, length: int) -> np.ndarray:
    """The order of an epoch: a permutation of 0 … length-1, int64. It is shared: do not write to it."""
    permutation = np.argsort(_bits(seed, epoch, _ORDER).random_raw(length), kind="stable").astype(np.int64)
    permutation.flags.writeable = False
    return permutation


def uniforms(seed: int, number: int, count: int) -> list[float]:
    """`count` numbers in [0, 1) that belong to example number `number` of a run with this seed."""
    return ((_bits(seed, number, _AUGMENT).random_raw(count) >> np.uint64(11)) * 2.0**-53).tolist()


def uniforms_at(seed: int, number: int, count: int) -> np.ndarray:
    """Further numbers in [0, 1) of the example, float64 `[count]`, for the knots of a deformation."""
    return (_bits(seed, number, _BEND).random_raw(count) >> np.uint64(11)) * 2.0**-53


def normals(seed: int, number: int, count: int) -> np.ndarray:
    """`count` normally distributed numbers of the example, with mean 0 and deviation 1, float32."""
    words = _bits(seed, number, _NOISE).random_raw(count)
    # Within (0, 1), where the inverse of the distribution is finite.
    return special.ndtri(((words >> np.uint64(11)) + 0.5) * 2.0**-53).astype(np.float32)


def generator(seed: int, number: int, position: int) -> np.random.Generator:
    """The random numbers of the augmentation at `position` in the user's list, for example number `number`."""
    return np.random.Generator(_bits(seed, number, _FUNCTIONS + position))
