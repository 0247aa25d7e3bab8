"""Checks that an image and its mask can be read and have the same size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trainer.data.errors import DataError, shown
from trainer.data.example import Example


def read_both(
    name: str,
    image_name: str,
    image: Callable[[], np.ndarray],
    mask_name: str,
    label: Callable[[], np.ndarray],
    turned: Callable[[], int] = lambda: 1,
    *,
    resize: bool = False,
) -> Example:
    """Reads an example by a function for its image and one for its label.

    Args:
      name: of the example.
      image_name, mask_name: their names in messages.
      image: returns uint8 `[height, width, channels]`, or raises `DataError`.
      label: returns integers `[height, width]`, or raises `DataError`.
      turned: returns the EXIF orientation applied to the image; called only where the sizes differ.
      resize: a label of another size and the same proportions is brought to the image's, to the nearest pixels.
    Raises:
      DataError: either fails, or both (then the message has both reasons), or their sizes differ.
    """
    read, problems = [], []
    for part in (image, label):
        try:
            read.append(part())
        except DataError as error:
            problems.append(str(error))
    if not problems and resize and alike(read[0].shape, read[1].shape):
        read[1] = nearest(read[1], read[0].shape[:2])
    if not problems and read[0].shape[:2] != read[1].shape[:2]:
        problems.append(size_problem(mask_name, read[1].shape, image_name, read[0].shape, turned()))
    if problems:
        raise DataError("\n".join(problems))
    return Example(read[0], read[1], name)


def alike(size: Sequence[int], other_size: Sequence[int]) -> bool:
    """Whether sizes (height, width, …) have the same proportions, apart from rounding to whole pixels."""
    (height, width), (other_height, other_width) = size[:2], other_size[:2]
    error = abs(height * other_width - width * other_height)
    return error <= max(height, width, other_height, other_width)


def nearest(label: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A label `[height, width, …]` at another size: each pixel takes the value under its middle."""
    rows, columns = (
        np.floor((np.arange(new) + 0.5) * (old / new)).astype(np.int64).clip(0, old - 1)
        for new, old in zip(size, label.shape[:2], strict=True)
    )
    return label[rows][:, columns]


def size_problem(mask: str, mask_size: Sequence[int], image: str, image_size: Sequence[int], turned: int = 1) -> str:
    """The sentence for a mask of another size than its image; sizes are (height, width, …)."""
    text = (
        f"{shown(mask)}: the mask is {mask_size[1]} x {mask_size[0]} pixels, its image {shown(image)} is "
        f"{image_size[1]} x {image_size[0]} (width x height)"
    )
    if turned >= 5 and tuple(mask_size[:2]) == (image_size[1], image_size[0]):
        text += (
            f" after it is turned by its EXIF orientation {turned}: the mask was drawn on the unturned image. "
            "Remove the tag from the image, or turn the mask"
        )
    elif alike(mask_size, image_size):
        text += ", of the same proportions: --config.data.resize_masks brings masks to their images' size"
    return text + "."
