"""A metric of your own that picks the best checkpoint and stops early, and another from the confusion counts."""

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


def edges(mask):
    """Pixels that differ from the one above or left of them."""
    found = np.zeros(mask.shape, bool)
    found[1:] |= mask[1:] != mask[:-1]
    found[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    return found


def boundary_f1(label, prediction):
    """Two parameters or more: of one image, int32 `[height, width]` each. The score is the mean over images."""
    wanted, found = edges(label), edges(prediction)
    if not wanted.any() and not found.any():
        return float("nan")  # says nothing: left out of the mean
    return 2 * (wanted & found).sum() / (wanted.sum() + found.sum())


def specificity(confusion):
    """One parameter: of all images, the pixels `[label, prediction]`."""
    return confusion[0, 0] / confusion[0].sum()


def model():
    return keras.Sequential(
        [
            keras.Input((None, None, 1)),
            keras.layers.Rescaling(1 / 64, offset=-2),
            keras.layers.Conv2D(12, 5, padding="same", activation="relu"),
            keras.layers.Conv2D(2, 5, padding="same"),
        ]
    )


config = Config(
    train=Train(length="100 steps", batch_size=8),
    augment=Augment(crop=(48, 48)),
    evaluate=Evaluate(every="10 steps", metric="boundary_f1", patience=3),
    optimizer=Optimizer(learning_rate=2e-2, schedule="constant"),
)
metrics = {"boundary_f1": boundary_f1, "specificity": specificity}
run = Run(config, workdir="runs/metric", model=model, data=(images, labels), metrics=metrics)
result = run.train()
print(f"{result.reason}\nbest boundary F1 {result.best_score:.3f} at step {result.best_step} of {result.step}")
print(f"specificity there: {run.evaluate('best').score('specificity'):.4f}")
