"""Programs whose loss reads something else than the output gives: overlaps, divergences, losses of one's own."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, losses, ops, optimizers

from tests.guard.doctor.making import asked, curve, discs, fault, groups, healthy, one_hot

ADAM = optimizers.Adam


def stack(x, *rest):
    return keras.Sequential([keras.Input(x.shape[1:]), *rest])


def masker(x, *last):
    hidden = [layers.Conv2D(8, 3, padding="same", activation="relu", name=name) for name in ("one", "two")]
    return stack(x, *hidden, *last)


def hidden():
    return layers.Dense(24, activation="relu", name="hidden")


@fault("missing_output_activation", "mask", says="have no meaning to it")
def an_overlap_of_scores(mended):
    x, y = discs(classes=3)
    last = layers.Conv2D(3, 1, activation="softmax" if mended else None, name="mask")
    return asked(masker(x, last), losses.Dice(axis=(1, 2)), ADAM(0.01), x, one_hot(y, 3), 8, 20)


@fault("missing_output_activation", "score", says="clips them to 0…1")
def a_divergence_of_scores(mended):
    x, y = groups(k=4)
    teacher = (0.9 * one_hot(y, 4) + 0.025).astype("float32")
    last = layers.Dense(4, activation="softmax" if mended else None, name="score")
    return asked(stack(x, hidden(), last), losses.KLDivergence(), ADAM(0.01), x, teacher)


@fault("relu_output", ("mask", "squash"), says="no prediction gets below 0.5")
def a_relu_under_the_sigmoid(mended):
    x, y = discs()
    last = layers.Conv2D(1, 1, activation=None if mended else "relu", name="mask")
    model = masker(x, last, layers.Activation("sigmoid", name="squash"))
    return asked(model, "binary_crossentropy", ADAM(0.02), x, y.astype("float32"), 8)


@fault("output_range", ("score", "shares"), says="One activation is enough")
def a_softmax_of_a_softmax(mended):
    x, y = groups(k=4)
    model = stack(x, hidden(), layers.Dense(4, activation=None if mended else "softmax", name="score"))
    model.add(layers.Softmax(name="shares"))
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), x, y)


class Clipped(keras.Model):
    """Squashes and cuts off by ops in `call`."""

    def __init__(self):
        super().__init__()
        self.one = layers.Conv2D(8, 3, padding="same", activation="relu", name="one")
        self.mask = layers.Conv2D(1, 1, name="mask")

    def call(self, inputs):
        return ops.clip(ops.sigmoid(self.mask(self.one(inputs))), 1e-6, 1 - 1e-6)


@fault("activation_with_from_logits", ("loss", "mask"), says="from_logits=True")
def a_focal_loss_squashes_what_was_squashed_and_clipped(mended):
    x, y = discs()
    loss = losses.BinaryFocalCrossentropy(from_logits=not mended)
    return asked(Clipped(), loss, ADAM(0.01), x, y.astype("float32"), 8)


@fault("wrong_loss", "loss", says="takes the difference of the two", depth="batch")
def class_numbers_less_their_probabilities(mended):
    x, y = groups(k=3)
    model = stack(x, hidden(), layers.Dense(3, activation="softmax", name="score"))
    return asked(model, "sparse_categorical_crossentropy" if mended else "mse", ADAM(0.01), x, y[:, None])


@fault("label_range", "y", says="the loss has no minimum")
def percent_through_a_sigmoid(mended):
    x, _ = groups()
    share = 1 / (1 + np.exp(-2 * x[:, :1] - x[:, 1:2]))
    model = stack(x, hidden(), layers.Dense(1, activation="sigmoid", name="share"))
    y = (share * (1 if mended else 99.9)).astype("float32")
    return asked(model, "binary_crossentropy", ADAM(0.01), x, y)


@fault("wrong_loss", "loss", says="within a twentieth", depth="steps")
def percentage_error_around_nought(mended):
    x, y = curve()
    y[::7] = 0
    model = stack(x, hidden(), layers.Dense(1, name="level"))
    return asked(model, "mse" if mended else "mape", ADAM(0.01), x, y)


def minus_squares(y_true, y_pred):
    return -tf.reduce_mean(tf.square(y_true - y_pred))


@fault("wrong_loss", "loss", says="as wrong as they can be")
def an_error_that_is_made_large(mended):
    x, y = curve()
    model = stack(x, hidden(), layers.Dense(1, name="level"))
    return asked(model, "mse" if mended else minus_squares, ADAM(0.01), x, y)


def dice_of_ids(y_true, y_pred):
    y_true = tf.one_hot(tf.cast(y_true[..., 0], tf.int32), 4)
    both = tf.reduce_sum(y_true * y_pred, (1, 2))
    return 1 - tf.reduce_mean((2 * both + 1) / (tf.reduce_sum(y_true + y_pred, (1, 2)) + 1))


@fault("label_encoding", "y", says="the masks were interpolated")
def interpolated_ids_in_a_dice_of_ones_own(mended):
    x, y = discs(classes=4, size=32, radius=(5, 9))
    x, y = (tf.image.resize(part.astype("float32"), (16, 16), "nearest").numpy() for part in (x, y))
    if not mended:
        y = tf.image.resize(tf.image.resize(y, (32, 32)), (16, 16)).numpy()
    last = layers.Conv2D(4, 1, activation="softmax", name="mask")
    return asked(masker(x, last), dice_of_ids, ADAM(0.01), x, y, 8, 25)


# Sound: labels and predictions of two shapes, which the loss is made for


@healthy
def three_quantiles_of_one_number():
    x, y = curve()
    parts = np.array([0.1, 0.5, 0.9], "float32")

    def pinball(y_true, y_pred):
        error = y_true - y_pred
        return ops.mean(ops.maximum(parts * error, (parts - 1) * error))

    return asked(stack(x, hidden(), layers.Dense(3)), pinball, ADAM(0.01), x, y)


@healthy
def a_weight_beside_each_pixel():
    x, y = discs()
    edge = np.abs(np.gradient(y[..., 0].astype("float32"), axis=1))[..., None] > 0
    both = np.concatenate([y, 1 + 4 * edge], -1).astype("float32")

    def weighted(y_true, y_pred):
        return tf.reduce_mean(y_true[..., 1] * losses.binary_crossentropy(y_true[..., :1], y_pred))

    return asked(masker(x, layers.Conv2D(1, 1, activation="sigmoid")), weighted, ADAM(0.01), x, both, 8)


@healthy
def a_model_that_hands_out_its_loss():
    x, _ = groups()
    near = x + np.random.default_rng(1).normal(0, 0.3, x.shape).astype("float32")
    far = np.random.default_rng(2).normal(0, 1, x.shape).astype("float32")
    tower = keras.Sequential([keras.Input((6,)), layers.Dense(16, activation="relu"), layers.Dense(4)])
    inputs = [keras.Input((6,)) for _ in range(3)]
    anchor, positive, negative = map(tower, inputs)
    gaps = [ops.sum((anchor - other) ** 2, -1, keepdims=True) for other in (positive, negative)]
    model = keras.Model(inputs, ops.relu(gaps[0] - gaps[1] + 1.0))
    y = np.zeros((len(x), 1), "float32")
    return asked(model, lambda y_true, y_pred: ops.mean(y_pred), ADAM(0.01), [x, near, far], y)
