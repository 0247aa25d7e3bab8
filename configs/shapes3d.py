"""Balls and boxes in noisy volumes: three dimensions to try without any data, generated, a minute on a CPU.

python main.py --config=configs/shapes3d.py
"""

import numpy as np

from configs.schema import Augment, Config, Data, Evaluate, Model, Optimizer, Train

_SIDE, _TRAIN, _VALIDATION = 24, 24, 8


def volumes(data: Data) -> dict:
    """{"train": …, "validation": …}: float32 `[24, 24, 24, 1]` of deviation 1, and labels."""
    made = [_volume(number) for number in range(_TRAIN + _VALIDATION)]
    return {"train": made[:_TRAIN], "validation": made[_TRAIN:]}


def _volume(number: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    grid = np.indices((_SIDE,) * 3)
    label = np.zeros((_SIDE,) * 3, np.uint8)
    low = random.integers(1, _SIDE - 9, 3)
    label[tuple(slice(first, first + int(side)) for first, side in zip(low, random.integers(5, 9, 3), strict=True))] = 2
    centre, radius = random.uniform(5, _SIDE - 5, 3), random.uniform(3, 5)
    label[sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)) <= radius**2] = 1
    # Both are bright; what tells them apart is their form.
    image = random.normal(0, 1, label.shape) + 2.0 * (label > 0)
    return ((image - image.mean()) / image.std()).astype(np.float32)[..., None], label


def get_config() -> Config:
    return Config(
        name="shapes3d",
        data=Data(source="configs.shapes3d:volumes", classes=("background", "ball", "box")),
        augment=Augment(crop=(24, 24, 24), scale=(0.9, 1.1), brightness=0.0, contrast=0.0),
        model=Model(width=8, depth=2, normalization="instance", upsampling="transpose", input_scaling="none"),
        optimizer=Optimizer(learning_rate=5e-3),
        train=Train(length="200 steps", batch_size=4),
        evaluate=Evaluate(every="50%"),
    )
