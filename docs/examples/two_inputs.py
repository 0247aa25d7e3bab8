"""A model with two inputs: a picture and a second one beside it, and a number of the whole example."""

import keras
import numpy as np

from configs.schema import Augment, Config, Optimizer, Train
from trainer import Run

# A pixel is of class 1 where the camera sees something bright that is near. Each camera has a brightness of its own.
random = np.random.default_rng(0)


def blob():
    row, column = random.integers(0, 28, 2)
    mask = np.zeros((48, 48), bool)
    mask[row : row + 20, column : column + 20] = True
    return mask


examples = []
for _ in range(48):
    bright, near, gain = blob(), blob(), random.uniform(0.5, 1.5)
    examples.append(
        {
            "image": (gain * (80 + 60 * bright) + random.normal(0, 4, bright.shape)).clip(0, 255).astype("uint8"),
            # Of the image's height and width: cropped, turned and mirrored with it. Floats are interpolated.
            "depth": (5.0 - 3.0 * near + random.normal(0, 0.3, near.shape)).astype("float32"),
            # Anything else comes as it is.
            "gain": np.float32(gain),
            "label": (bright & near).astype("uint8"),
        }
    )


def model(outputs):
    """The inputs are named as the examples' keys; a function is called with `outputs` where it names them."""
    image = keras.Input((None, None, 1), name="image")
    depth = keras.Input((None, None), name="depth")
    gain = keras.Input((), name="gain")
    brightness = image / keras.ops.reshape(gain, (-1, 1, 1, 1)) / 64 - 1.7
    both = keras.layers.Concatenate()([brightness, depth[..., None] - 3.5])
    x = keras.layers.Conv2D(12, 3, padding="same", activation="relu")(both)
    x = keras.layers.Conv2D(12, 1, activation="relu")(x)
    return keras.Model([image, depth, gain], keras.layers.Conv2D(outputs, 1)(x))


config = Config(
    train=Train(length="80 steps", batch_size=8),
    augment=Augment(crop=(48, 48), brightness=0.0, contrast=0.0),
    optimizer=Optimizer(learning_rate=1e-2),
)
run = Run(config, workdir="runs/two_inputs", model=model, data=examples)
print(f"mean Dice with both inputs: {run.train().scores['mean_dice']:.3f}")
