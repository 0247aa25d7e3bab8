"""A loop of your own, for batches that no data set knows beforehand: here the examples that were hardest so far."""

import keras
import numpy as np

from configs.schema import Config, Optimizer, Train
from trainer import Run

random = np.random.default_rng(0)
labels = np.zeros((60, 48, 48), "uint8")
for label in labels:
    row, column = random.integers(4, 30, 2)
    label[row : row + 14, column : column + 10] = 1
images = (random.normal(90, 25, labels.shape) + 60 * labels).clip(0, 255).astype("uint8")

model = keras.Sequential(
    [
        keras.Input((None, None, 1)),
        keras.layers.Rescaling(1 / 64, offset=-2),
        keras.layers.Conv2D(12, 5, padding="same", activation="relu"),
        keras.layers.Conv2D(2, 5, padding="same"),
    ]
)
config = Config(
    train=Train(length="60 steps", batch_size=8),  # the length is what the schedule goes by
    optimizer=Optimizer(learning_rate=1e-2),
)
data = {"train": (images[:48], labels[:48]), "validation": (images[48:], labels[48:])}
run = Run(config, workdir="runs/own_loop", model=model, data=data)

hardness = np.full(48, 1.0)
for step in range(run.resume(), 60):
    chosen = random.choice(48, size=8, replace=False, p=hardness / hardness.sum())
    # The step of `run.train`: guard, replicas, accumulation, precision, clipping, averages, counters.
    report = run.step({"image": images[chosen], "label": labels[chosen]})
    loss = float(report["loss"])  # waits for the device; leave it out where no number is needed
    hardness[chosen] = 0.5 * hardness[chosen] + 0.5 * loss
    if (step + 1) % 20 == 0:
        scores = run.evaluate(checkpoint=None)  # the weights as they are
        run.save()
        print(f"step {step + 1}: loss {loss:.3f}, mean Dice {scores.score('mean_dice'):.3f}")
print("the next session goes on from step", run.current_step)
