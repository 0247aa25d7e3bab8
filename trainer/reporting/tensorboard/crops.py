"""Training crops as the network sees them: augmented, with their labels over them."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from trainer.data import training_batches
from trainer.reporting.panels import colored, overlay, stretch

# Crops shown, and the pixels of their longer side.
_MOST, _SIDE, _GAP = 8, 112, 4


def training_crops(run) -> np.ndarray | None:
    """The first crops of the run's data, each beside a copy with its label: RGB uint8 `[h, w, 3]`.

    None if the images cannot be shown (they have more than two dimensions, say), and for a stream, which may not be
    readable twice.
    """
    config = run.config
    if run.data.train.stream is not None:
        return None
    # The same examples in the same order as in the run, drawn for a small batch.
    size = min(_MOST, config.train.batch_size)
    small = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=size, accumulate=1))
    batch = next(iter(training_batches(run.data.train, small, start_step=0, steps=1)))
    images = batch["image"].numpy()
    labels = batch["label"].numpy() if "label" in batch else None
    if images.ndim != 4 or not images.shape[-1]:
        return None
    whole_numbers = labels is not None and labels.ndim in (3, 4) and labels.dtype.kind in "iu"
    cells = []
    for number, image in enumerate(images):
        picture, _, _ = stretch(image)
        pair = [picture]
        if whole_numbers and run.data.classes:
            pair.append(_labelled(picture, labels[number], run.data.classes, run.data.void_id))
        cells.append([_small(each) for each in pair])
    return _laid_out(cells)


def _labelled(picture: np.ndarray, label: np.ndarray, classes, void_id: int) -> np.ndarray:
    """The crop with its label over it, void in stripes."""
    if label.ndim == 3:
        void = (label == void_id).all(axis=2)
    else:
        void = (label == void_id) | ~np.isin(label, range(len(classes)))
    painted = overlay(picture, label if label.ndim == 3 else np.where(void, 0, label), classes=classes, opacity=0.5)
    return np.where(void[..., None], colored(label, classes, void_id), painted)


def _small(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = _SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def _laid_out(cells: list[list[np.ndarray]]) -> np.ndarray:
    """Four pictures in a row: two crops with their labels, or four without."""
    pictures = [picture for cell in cells for picture in cell]
    height, width = pictures[0].shape[:2]
    columns = min(4, len(pictures))
    rows = -(-len(pictures) // columns)
    whole = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + _GAP), number % columns * (width + _GAP)
        whole[top : top + height, left : left + width] = picture
    return whole
