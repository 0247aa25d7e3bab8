"""Mean teacher (Tarvainen, Valpola 2017): most images have no label, and a slow copy of the model labels them."""

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Augment, Config, Evaluate, Optimizer, Train
from trainer import Run, Task

random = np.random.default_rng(0)
labels = np.zeros((60, 48, 48), "uint8")
for label in labels:
    row, column = random.integers(4, 30, 2)
    label[row : row + 14, column : column + 10] = 1
images = (random.normal(90, 25, labels.shape) + 60 * labels).clip(0, 255).astype("uint8")
given = np.where(np.arange(48)[:, None, None] < 6, labels[:48], 255)  # void: 42 have no label


def network():
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(12, 5, padding="same", activation="relu")(image / 64 - 2)
    return keras.Model(image, keras.layers.Conv2D(2, 5, padding="same")(x))


class MeanTeacher(Task):
    def __init__(self):
        self.student, self.teacher = network(), network()
        self.teacher.set_weights(self.student.get_weights())
        self.teacher.trainable = False
        self.seeds = keras.random.SeedGenerator(0)  # saved too: a resumed run draws what it would have drawn

    def losses(self, batch, training):
        noise = 20.0 * training * keras.random.normal(tf.shape(batch["image"]), seed=self.seeds)
        logits = self.student(batch["image"] + noise, training=training)
        target = tf.nn.softmax(self.teacher(batch["image"], training=False))
        known = tf.cast(batch["label"] != 255, tf.int32)
        errors = keras.losses.sparse_categorical_crossentropy(known * batch["label"], logits, from_logits=True)
        return {
            "labelled": 4.0 * tf.reduce_mean(tf.cast(known, tf.float32) * errors),
            "consistency": tf.reduce_mean(tf.square(tf.nn.softmax(logits) - target)),
        }

    def after_update(self):
        for slow, fast in zip(self.teacher.variables, self.student.variables, strict=True):
            slow.assign(0.95 * slow + 0.05 * fast)

    def predict(self, batch):
        return tf.argmax(self.teacher(batch["image"]), -1)


def dice(label, prediction):
    return 2 * (label & prediction).sum() / (label.sum() + prediction.sum())


train, optimizer = Train(length="100 steps"), Optimizer(learning_rate=1e-2)
config = Config(train=train, optimizer=optimizer, augment=Augment(crop=(48, 48)), evaluate=Evaluate(metric="dice"))
data = {"train": (images[:48], given), "validation": (images[48:], labels[48:])}
run = Run(config, workdir="runs/mean_teacher", task=MeanTeacher, data=data, metrics={"dice": dice})
print(f"the teacher's Dice, with labels for 6 of 48 images: {run.train().scores['dice']:.3f}")
