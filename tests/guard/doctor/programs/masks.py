"""Masks again: losses that sum over the wrong axes, examples turned apart, values that an interpolation left behind."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, losses

from tests.guard.doctor.making import discs, fault, healthy, one_hot
from tests.guard.doctor.programs.segmentation import dice, mask, net, run

ADAM = keras.optimizers.Adam


def dice_of_pixels(y_true, y_pred):
    y_true = tf.cast(y_true, y_pred.dtype)
    both = tf.reduce_sum(y_true * y_pred, axis=-1)
    return 1 - 2 * both / (tf.reduce_sum(y_true, axis=-1) + tf.reduce_sum(y_pred, axis=-1) + 1e-6)


@fault("wrong_loss", "loss", says="pixel by pixel", depth="batch")
def dice_over_the_channel_alone(mended):
    x, y = discs(seed=11)
    return run(net(mask()), dice if mended else dice_of_pixels, x, y.astype("float32"))


def dice_over_examples(y_true, y_pred):
    y_true = tf.cast(y_true, y_pred.dtype)
    both = tf.reduce_sum(y_true * y_pred, axis=0)
    sizes = tf.reduce_sum(y_true, axis=0) + tf.reduce_sum(y_pred, axis=0)
    return tf.reduce_mean(1 - (2 * both + 1e-6) / (sizes + 1e-6))


@fault("wrong_loss", "loss", says="examples", depth="batch")
def dice_over_the_first_axis(mended):
    x, y = discs(seed=12)
    return run(net(mask()), dice if mended else dice_over_examples, x, y.astype("float32"), batch_size=2)


def dice_coefficient(y_true, y_pred):
    y_true = tf.cast(y_true, y_pred.dtype)
    both = tf.reduce_sum(y_true * y_pred)
    return (2 * both + 1) / (tf.reduce_sum(y_true) + tf.reduce_sum(y_pred) + 1)


def dice_coefficient_loss(y_true, y_pred):
    return -dice_coefficient(y_true, y_pred)


@fault("wrong_loss", "loss", says="training makes it small", depth="batch")
def the_coefficient_is_made_small(mended):
    x, y = discs(seed=13)
    return run(net(mask()), dice_coefficient_loss if mended else dice_coefficient, x, y.astype("float32"))


def swapped(y_true, y_pred):
    y_true = tf.cast(y_true, y_pred.dtype)
    return -tf.reduce_mean(y_pred * tf.math.log(y_true + 1e-7) + (1 - y_pred) * tf.math.log(1 - y_true + 1e-7))


@healthy
def cross_entropy_with_its_arguments_swapped():
    x, y = discs(seed=14)
    return run(net(mask()), swapped, x, y.astype("float32"))


@fault("labels_not_aligned", ("y", "x"), says="of the masks fit their image better", depth="batch")
def each_mask_is_mirrored_by_a_coin_of_its_own(mended):
    x, y = discs(n=80, seed=15)
    coins = np.random.default_rng(1).integers(0, 2, len(x)).astype(bool)
    others = coins if mended else np.random.default_rng(2).integers(0, 2, len(x)).astype(bool)
    x, y = x.copy(), y.copy()
    x[coins], y[others] = x[coins][:, ::-1, ::-1], y[others][:, ::-1, ::-1]
    return run(net(mask()), "binary_crossentropy", x, y.astype("float32"))


@fault("labels_not_aligned", ("y", "x"), says="transposed", depth="batch")
def height_and_width_change_places_in_the_masks(mended):
    x, y = discs(n=72, seed=16)
    return run(net(mask()), "binary_crossentropy", x, (y if mended else y.transpose(0, 2, 1, 3)).astype("float32"))


@fault(("label_range", "label_encoding"), "y", says="0", depth="static")
def masks_whitened_like_the_images(mended):
    x, y = discs(seed=17)
    y = y.astype("float32")
    return run(net(mask()), "binary_crossentropy", x, y if mended else (y - y.mean()) / y.std())


@fault(("label_encoding", "label_range"), "y", says="nearest")
def three_masks_turned_by_ten_degrees(mended):
    x, y = discs(seed=18, classes=4)
    back = y if mended else (0.75 * y + 0.25 * np.roll(y, 1, 1)).astype("float32")
    return run(net(mask("softmax", 4)), "sparse_categorical_crossentropy", x, back, epochs=40)


@fault(("too_few_units", "dead_units"), ("two", "mask"), says="two", depth="steps")
def two_relu_channels_before_the_mask(mended):
    x, y = discs(seed=19, classes=4, n=72, radius=(4.0, 6.0))
    two = layers.Conv2D(12 if mended else 1, 3, padding="same", activation="relu", name="two")
    return run(net(two, mask("softmax", 4)), "sparse_categorical_crossentropy", x, y, epochs=60)


@fault("softmax_axis", ("mask", "share"), says="runs over axis", depth="static")
def channels_first_and_the_softmax_last(mended):
    x, y = discs(classes=3, seed=20)
    turn = layers.Permute((3, 1, 2), name="turn")
    last = [mask(None, 3), turn, layers.Softmax(axis=1 if mended else -1, name="share"), layers.Permute((2, 3, 1))]
    return run(net(*last), "sparse_categorical_crossentropy", x, y)


class Masks(keras.Model):
    """A network of one's own class for masks."""

    def __init__(self, activation):
        super().__init__()
        self.down = layers.Conv2D(8, 3, padding="same", activation="relu", name="down")
        self.mask = layers.Conv2D(3, 1, activation=activation, name="mask")

    def call(self, images):
        return self.mask(self.down(images))


@fault("missing_output_activation", ("mask", "loss"), says="from_logits")
def a_class_of_ones_own_hands_out_scores_of_pixels(mended):
    x, y = discs(classes=3, seed=21)
    return run(Masks("softmax" if mended else None), "sparse_categorical_crossentropy", x, y, epochs=40)


@fault("train_validation_mismatch", "validation", says="negatives")
def validation_images_are_negatives(mended):
    x, y = discs(seed=22)
    xv, yv = discs(n=24, seed=23)
    return run(net(mask()), "binary_crossentropy", x, y.astype("float32"),
               validation=(xv if mended else 1 - xv, yv.astype("float32")))


@fault("validation_leak", "validation", says="also in the training data")
def tiles_of_the_same_scans_on_both_sides(mended):
    x, y = discs(n=64, seed=24)
    y = y.astype("float32")
    cut = 48 if mended else 24
    return run(net(mask()), "binary_crossentropy", x[:48], y[:48], validation=(x[cut : cut + 16], y[cut : cut + 16]))


@healthy
def masks_with_soft_edges():
    x, y = discs(seed=25)
    soft = tf.image.resize(y.astype("float32")[:, ::2, ::2], (16, 16)).numpy()
    return run(net(mask()), "binary_crossentropy", x, soft)


def dice_of_each_class(y_true, y_pred):
    y_true = tf.cast(y_true, y_pred.dtype)
    both = tf.reduce_sum(y_true * y_pred, axis=(1, 2))
    sizes = tf.reduce_sum(y_true, axis=(1, 2)) + tf.reduce_sum(y_pred, axis=(1, 2))
    return 1 - tf.reduce_mean((2 * both + 1) / (sizes + 1), -1)


@healthy
def dice_of_each_class_over_the_pixels():
    x, y = discs(seed=26, classes=3)
    return run(net(mask("softmax", 3)), dice_of_each_class, x, one_hot(y, 3), epochs=25)


def dice_of_the_whole_batch(y_true, y_pred):
    y_true = tf.cast(y_true, y_pred.dtype)
    both = tf.reduce_sum(y_true * y_pred)
    return 1 - (2 * both + 1) / (tf.reduce_sum(y_true) + tf.reduce_sum(y_pred) + 1)


@healthy
def dice_over_the_whole_batch():
    x, y = discs(seed=27)
    return run(net(mask()), dice_of_the_whole_batch, x, y.astype("float32"))


def focal(y_true, y_pred):
    y_true = tf.cast(y_true, y_pred.dtype)
    right = tf.where(y_true > 0.5, y_pred, 1 - y_pred)
    return -tf.reduce_mean((1 - right) ** 2 * tf.math.log(right + 1e-6))


@healthy
def a_focal_loss_by_hand():
    x, y = discs(seed=28)
    return run(net(mask()), focal, x, y.astype("float32"), epochs=25)


@healthy
def a_class_of_ones_own_with_masks_and_the_flag():
    x, y = discs(classes=3, seed=29)
    return run(Masks(None), losses.SparseCategoricalCrossentropy(from_logits=True), x, y, epochs=25)
