"""An augmentation of your own, and a run that is stopped and goes on as if it never had been."""

import keras
import numpy as np

from configs.schema import Augment, Config, Evaluate, Optimizer, Train
from trainer import Run

random = np.random.default_rng(0)
labels = np.zeros((40, 48, 48), "uint8")
for label in labels:
    row, column = random.integers(4, 30, 2)
    label[row : row + 14, column : column + 10] = 1
images = (random.normal(90, 25, labels.shape) + 60 * labels).clip(0, 255).astype("uint8")


def wave(example, random):
    """Shifts each row by a wave, image and label alike. Draw from `random` alone: then a resumed run is the same."""
    height, width = example["label"].shape
    phase, amplitude = random.uniform(0, 2 * np.pi), random.uniform(0, 4)
    shift = np.rint(amplitude * np.sin(np.arange(height) / 6 + phase)).astype(int)
    source = (np.arange(width) + shift[:, None]) % width
    for key in ("image", "label"):
        example[key] = example[key][np.arange(height)[:, None], source]
    return example


def model():
    """A function instead of a model: each run makes a new one, from the run's seed."""
    return keras.Sequential(
        [
            keras.Input((None, None, 1)),
            keras.layers.Rescaling(1 / 64, offset=-2),
            keras.layers.Conv2D(12, 5, padding="same", activation="relu"),
            keras.layers.Conv2D(2, 5, padding="same"),
        ]
    )


def make_run(workdir):
    config = Config(
        train=Train(length="60 steps", batch_size=8, steps_per_call=10),
        augment=Augment(crop=(48, 48)),
        evaluate=Evaluate(every="50%"),
        optimizer=Optimizer(learning_rate=1e-2),
    )
    return Run(config, workdir=workdir, model=model, data=(images, labels), augment=[wave])


stopped = make_run("runs/stopped")
result = stopped.train(stop=lambda: stopped.current_step >= 30)
print(f"{result.reason} at step {result.step}")
resumed, whole = make_run("runs/stopped"), make_run("runs/whole")
print(f"mean Dice {resumed.train().scores['mean_dice']:.4f} in two sessions, ", end="")
print(f"{whole.train().scores['mean_dice']:.4f} in one")
pairs = zip(resumed.task.model.get_weights(), whole.task.model.get_weights(), strict=True)
print("the same weights, bit for bit:", all(np.array_equal(a, b) for a, b in pairs))
