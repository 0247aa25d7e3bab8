"""A source of your own: examples in an HDF5 file, read when they are needed."""

import h5py
import numpy as np

from configs.schema import Augment, Config, Model, Train
from trainer import Run

# A file as a scanner might leave it: slices of 16-bit grey values, masks, and where each comes from.
random = np.random.default_rng(0)
masks = np.zeros((48, 56, 56), "uint8")
for mask in masks:
    for class_id in (1, 2):
        row, column = random.integers(4, 36, 2)
        mask[row : row + 16, column : column + 10] = class_id
slices = (random.normal(900, 120, masks.shape) + 400.0 * masks).astype("uint16")
with h5py.File("scans.h5", "w") as file:
    file["slices"], file["masks"] = slices, masks
    file["patient"] = [f"patient_{number // 12}" for number in range(48)]


class Scans:
    """Anything with `len()` and `[i]` is a source.

    Attributes:
      classes: names of the classes, by id; optional.
      names: how messages call the examples; optional.
    """

    classes = ("tissue", "vessel", "bone")

    def __init__(self, path, patients):
        self.file = h5py.File(path)
        owners = self.file["patient"].asstr()[:]
        self.rows = [row for row, owner in enumerate(owners) if owner in patients]
        self.names = [f"{owners[row]}, slice {row}" for row in self.rows]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        return {"image": self.file["slices"][row], "label": self.file["masks"][row]}


# No patient is in both splits.
train = Scans("scans.h5", ["patient_0", "patient_1", "patient_2"])
validation = Scans("scans.h5", ["patient_3"])
config = Config(
    model=Model(width=8, depth=2),
    train=Train(length="80 steps", batch_size=8),
    augment=Augment(crop=(48, 48)),
)
run = Run(config, workdir="runs/hdf5", data={"train": train, "validation": validation})
result = run.train()
print(f"{len(train)} slices to train on, {len(validation)} to score, classes {', '.join(run.config.data.classes)}")
print(f"Dice of bone {result.scores['dice/bone']:.3f}, of vessel {result.scores['dice/vessel']:.3f}")
