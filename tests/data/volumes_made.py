"""Small volumes on disk, in the layouts that collections of them come in."""

from __future__ import annotations

import json
import os

import numpy as np

# Foot first, face down, thick slices: nothing is where an array without an affine would have it.
AFFINE = np.array([[0.0, 0.0, -2.0, 40.0], [-1.0, 0.0, 0.0, 30.0], [0.0, 1.5, 0.0, -20.0], [0.0, 0.0, 0.0, 1.0]])
SHAPE = (14, 16, 10)


def case(seed: int, shape=SHAPE, channels: int = 1, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A grey volume `[x, y, z, channels]` with a bright box of each class but the first, and its label."""
    random = np.random.default_rng(seed)
    image = random.normal(100.0, 10.0, (*shape, channels))
    label = np.zeros(shape, np.uint8)
    for value in range(1, classes):
        low = [int(random.integers(0, side - 5)) for side in shape]
        where = tuple(slice(first, first + 5) for first in low)
        label[where] = value
        image[where] += 60.0 * value
    return image.astype(np.float32), label


def save(path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    import nibabel

    os.makedirs(os.path.dirname(path), exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def nnunet(root, cases: int = 6, channels: int = 1, **description) -> str:
    """imagesTr/case_00_0000.nii.gz, labelsTr/case_00.nii.gz and dataset.json of nnU-Net's second version."""
    root = str(root)
    for number in range(cases):
        image, label = case(number, channels=channels)
        for channel in range(channels):
            save(f"{root}/imagesTr/case_{number:02}_{channel:04}.nii.gz", image[..., channel])
        save(f"{root}/labelsTr/case_{number:02}.nii.gz", label)
    about = {
        "channel_names": {str(channel): f"T{channel + 1}" for channel in range(channels)},
        "labels": {"background": 0, "liver": 1, "tumour": 2},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    with open(os.path.join(root, "dataset.json"), "w", encoding="utf-8") as file:
        json.dump(about | description, file)
    return root
