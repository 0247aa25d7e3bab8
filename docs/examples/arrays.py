"""A Keras model and NumPy arrays: train, score, predict, export."""

import keras
import numpy as np

from configs.schema import Augment, Config, Optimizer, Train
from trainer import Run

# Forty images of bright discs in noise, and the class of each pixel: 0 is the ground, 1 a disc.
random = np.random.default_rng(0)
rows, columns = np.mgrid[:48, :48]
centres, radii = random.uniform(10, 38, (2, 40, 1, 1)), random.uniform(5, 10, (40, 1, 1))
labels = (np.hypot(rows - centres[0], columns - centres[1]) < radii).astype("uint8")
images = (random.normal(90, 25, labels.shape) + 60 * labels).clip(0, 255).astype("uint8")

# From pixels (float32, 0..255) to a logit for each class.
model = keras.Sequential(
    [
        keras.Input((None, None, 1)),
        keras.layers.Rescaling(1 / 64, offset=-2),
        keras.layers.Conv2D(12, 5, padding="same", activation="relu"),
        keras.layers.Conv2D(12, 5, padding="same", activation="relu"),
        keras.layers.Conv2D(2, 1),
    ]
)

run = Run(
    Config(
        name="discs",
        train=Train(length="10 epochs", batch_size=8),
        augment=Augment(crop=(48, 48)),
        optimizer=Optimizer(learning_rate=1e-2),
    ),
    workdir="runs/discs",
    model=model,
    loss="dice+cross_entropy",
    data=(images, labels),
)
result = run.train()
print(f"{result.reason} at step {result.step}: mean Dice {result.scores['mean_dice']:.3f}")

masks = run.predict(images[:4])  # int32 class ids, with the weights of the best checkpoint
print(f"predicted {masks.shape}, {np.mean(masks == labels[:4]):.1%} of the pixels right")
print(*run.export("exported", formats=["saved_model"]), sep="\n")
