"""Image to image with an adversary (pix2pix, Isola et al. 2017): two models, two optimizers, phase after phase."""

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Augment, Config, Evaluate, Train
from trainer import Phase, Run, Task

# Blurred discs, and the sharp ones as a target: labels with fractions are pictures, and no class ids.
random = np.random.default_rng(0)
centres, radii = random.uniform(8, 24, (2, 48, 1, 1)), random.uniform(4, 8, (48, 1, 1))
distances = np.hypot(np.arange(32)[:, None] - centres[0], np.arange(32) - centres[1]) - radii
sharp = np.where(distances < 0, 0.9, 0.1).astype("float32")
blurred = (255 / (1 + np.exp(distances / 1.5))).astype("uint8")


def convolve(x, width, **options):
    return keras.layers.Conv2D(width, 3, padding="same", activation="leaky_relu", **options)(x)


def judged(logits, real):
    return keras.losses.binary_crossentropy(real * tf.ones_like(logits), logits, from_logits=True)


class Sharpen(Task):
    phases = (
        Phase(name="critic", terms=("real", "fake"), models=("critic",), optimizer=keras.optimizers.Adam(1e-3)),
        Phase(name="painter", terms=("fooled", "near"), models=("painter",), optimizer=keras.optimizers.Adam(2e-3)),
    )

    def __init__(self):
        image, picture = keras.Input((None, None, 1)), keras.Input((None, None, 1))
        x = convolve(convolve(image / 255, 12), 12)
        self.painter = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x))
        x = convolve(keras.layers.Concatenate()([image / 255, picture]), 8, strides=2)
        self.critic = keras.Model([image, picture], keras.layers.Conv2D(1, 3)(x))

    def losses(self, batch, training):
        image, target = batch["image"], batch["label"][..., None]
        painted = self.painter(image, training=training)
        return {
            "real": judged(self.critic([image, target], training=training), 1.0),
            "fake": judged(self.critic([image, tf.stop_gradient(painted)], training=training), 0.0),
            "fooled": 0.01 * judged(self.critic([image, painted], training=training), 1.0),
            "near": tf.reduce_mean(tf.abs(painted - target)),
        }

    def predict(self, batch):
        return self.painter(batch["image"], training=False)[..., 0]


def psnr(label, prediction):
    return -10 * np.log10(np.mean((label - prediction) ** 2))


config = Config(train=Train(length="80 steps"), augment=Augment(crop=(32, 32)), evaluate=Evaluate(metric="psnr"))
run = Run(config, workdir="runs/gan", task=Sharpen, data=(blurred, sharp), metrics={"psnr": psnr})
print(f"{psnr(sharp, blurred / 255):.1f} dB before, {run.train().scores['psnr']:.1f} dB after")
