"""The facts that a check keeps about each example: size, class counts, brightness and hashes; read in parallel."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from configs.schema import Data
from trainer.data.check.look_alikes import perceptual_hash
from trainer.data.errors import DataError
from trainer.data.example import Example

# Fewer threads than cores would idle; more than a few fight for the disk.
_THREADS = 4


@dataclasses.dataclass(frozen=True)
class Facts:
    """The facts about an example that could be read."""

    name: str
    size: tuple[int, ...]
    counts: np.ndarray
    constant: bool
    digest: bytes
    hash: np.ndarray
    several: int = -1
    means: tuple[float, ...] = ()
    deviation: float = 0.0
    # The mean outside of the objects, or of the whole image where nothing is outside.
    background: float = 0.0


def read_all(reader, section: Data, problems: list[str], count: Callable[[], None]) -> list[Facts]:
    """The facts of a split's readable examples, in order; others are added to the problems. `count()` follows each."""

    def read(index: int) -> Facts | str:
        try:
            return _facts(reader(index), section)
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        results = []
        for result in pool.map(read, range(len(reader.names))):
            results.append(result)
            count()
    found = (line for result in results if isinstance(result, str) for line in _separate(result))
    problems += [line for line in found if line not in problems]
    return [result for result in results if isinstance(result, Facts)]


def _separate(text: str) -> list[str]:
    """One problem for each line that is not indented: an image and its mask can both be bad."""
    problems: list[str] = []
    for line in text.split("\n"):
        if line.startswith(" ") and problems:
            problems[-1] += "\n" + line
        else:
            problems.append(line)
    return problems


def _facts(example: Example, section: Data) -> Facts:
    classes, void_id, label = len(section.classes), section.void_id, example.label
    counts, several = np.zeros(classes + 1, np.int64), -1
    if section.multi_label and label is not None:
        here = label == 1
        counts = np.append(here.sum(axis=(0, 1)), (label == void_id).all(axis=2).sum()).astype(np.int64)
        several = int((here.sum(axis=2) > 1).sum())
    elif label is not None and label.dtype.kind in "iu":
        void = int((label == void_id).sum())
        # A void id may be negative, which cannot be counted by position: it is counted as class 0 first.
        counts = np.append(np.bincount(np.where(label == void_id, 0, label).ravel(), minlength=classes), void)
        counts[0] -= void
    return Facts(
        name=example.name,
        size=example.size,
        counts=counts,
        constant=bool((example.image == example.image[(0,) * len(example.size)]).all()),
        digest=hashlib.sha256(repr(example.image.shape).encode() + example.image.tobytes()).digest(),
        hash=perceptual_hash(example.image),
        several=several,
        means=tuple(example.image.mean(axis=tuple(range(example.image.ndim - 1)), dtype=np.float64).tolist()),
        deviation=float(example.image.std(dtype=np.float64)),
        background=_background(example, section),
    )


def _background(example: Example, section: Data) -> float:
    label, image = example.label, example.image
    if label is None or label.dtype.kind not in "iu":
        return float(image.mean(dtype=np.float64))
    outside = (label != 1).all(axis=2) if section.multi_label else label == 0
    return float(image[outside].mean(dtype=np.float64)) if outside.any() else float(image.mean(dtype=np.float64))
