"""Masks: channels, values, losses of ones own, images and masks that part company."""

import keras
import numpy as np
import tensorflow as tf
from keras import initializers, layers, losses, regularizers

from tests.guard.doctor.making import asked, discs, fault, one_hot

ADAM = keras.optimizers.Adam


def net(*last, channels=1, width=8, activation="relu", shape=(16, 16), **options):
    return keras.Sequential([
        keras.Input((*shape, channels)),
        layers.Conv2D(width, 3, padding="same", activation=activation, name="down", **options),
        layers.Conv2D(width, 3, padding="same", activation=activation, name="up", **options),
        *last,
    ])  # fmt: skip


def mask(activation="sigmoid", classes=1):
    return layers.Conv2D(classes, 1, activation=activation, name="mask")


def run(model, loss, x, y, optimizer=None, **options):
    return asked(model, loss, optimizer or ADAM(0.01), x, y, **{"batch_size": 8, "epochs": 15, **options})


def dice(y_true, y_pred):
    y_true = tf.cast(y_true, "float32")
    both = tf.reduce_sum(y_true * y_pred, (1, 2, 3))
    return 1 - (2 * both + 1) / (tf.reduce_sum(y_true, (1, 2, 3)) + tf.reduce_sum(y_pred, (1, 2, 3)) + 1)


@fault("softmax_over_one_unit", "mask", says="axis of size 1")
def a_mask_of_one_channel_with_softmax(mended):
    x, y = discs()
    return run(net(mask("sigmoid" if mended else "softmax")), "binary_crossentropy", x, y.astype("float32"))


@fault("softmax_over_one_unit", "mask", says="sigmoid")
def dice_over_a_softmax_of_one_channel(mended):
    x, y = discs(seed=1)
    return run(net(mask("sigmoid" if mended else "softmax")), dice, x, y.astype("float32"))


@fault("missing_output_activation", ("mask", "loss"), says="no activation")
def mask_scores_in_the_binary_loss(mended):
    x, y = discs()
    return run(net(mask(None)), losses.BinaryCrossentropy(from_logits=mended), x, y.astype("float32"))


@fault("missing_output_activation", ("mask", "loss"), says="reads probabilities", depth="batch")
def dice_of_scores(mended):
    x, y = discs(seed=2)
    return run(net(mask("sigmoid" if mended else None)), dice, x, y.astype("float32"))


@fault("missing_output_activation", ("mask", "loss"), says="sparse_categorical_crossentropy")
def class_scores_of_pixels(mended):
    x, y = discs(classes=4)
    return run(net(mask("softmax" if mended else None, 4)), "sparse_categorical_crossentropy", x, y, epochs=40)


@fault("relu_output", "mask", says="ends in relu")
def a_relu_before_the_masks_loss(mended):
    x, y = discs(classes=3)
    return run(net(mask("softmax" if mended else "relu", 3)), "categorical_crossentropy", x, one_hot(y, 3))


@fault("categorical_loss_on_one_unit", ("loss", "mask"), says="one unit")
def categorical_loss_on_one_channel(mended):
    x, y = discs()
    loss = "binary_crossentropy" if mended else "categorical_crossentropy"
    return run(net(mask()), loss, x, y.astype("float32"))


@fault("activation_with_from_logits", ("loss", "mask", "flat"), says="from_logits=True", depth="batch")
def pixels_flattened_after_the_softmax(mended):
    x, y = discs(classes=3)
    model = net(mask("softmax", 3), layers.Reshape((256, 3), name="flat"))
    loss = losses.SparseCategoricalCrossentropy(from_logits=not mended)
    return run(model, loss, x, y.reshape(-1, 256))


@fault("softmax_axis", ("mask", "share"), says="runs over axis")
def softmax_over_the_columns(mended):
    x, y = discs(classes=3)
    last = [mask(None, 3), layers.Softmax(axis=-1 if mended else 2, name="share")]
    return run(net(*last), "sparse_categorical_crossentropy", x, y)


@fault("label_range", "y", says="0, 255")
def masks_of_0_and_255(mended):
    x, y = discs()
    return run(net(mask()), "binary_crossentropy", x, (y if mended else y * 255).astype("float32"))


@fault("label_range", "y", says="255")
def dice_of_masks_up_to_255(mended):
    x, y = discs(seed=3)
    return run(net(mask()), dice, x, (y if mended else y * 255).astype("float32"))


@fault("label_range", "y", says="has no unit")
def a_void_class_of_255(mended):
    x, y = discs(classes=3)
    y = y.copy()
    y[:, :2] = 0 if mended else 255
    return run(net(mask("softmax", 3)), "sparse_categorical_crossentropy", x, y)


@fault(("label_encoding", "label_range"), "y", says="nearest")
def class_masks_interpolated(mended):
    x, y = discs(classes=3)
    small = y[:, ::2, ::2].astype("float32")
    back = tf.image.resize(small, (16, 16), method="nearest" if mended else "bilinear").numpy()
    return run(net(mask("softmax", 3)), "sparse_categorical_crossentropy", x, back, epochs=40)


@fault("label_encoding", "y", says="sum")
def one_hot_masks_with_the_classes_first(mended):
    x, y = discs(size=8, classes=8, n=120)
    exact = one_hot(y, 8)
    y = exact if mended else exact.transpose(0, 3, 1, 2)
    return run(net(mask("softmax", 8), shape=(8, 8)), "categorical_crossentropy", x, y, epochs=30)


@fault("constant_labels", "y", says="are the same")
def masks_that_were_read_as_nothing(mended):
    x, y = discs()
    return run(net(mask()), "binary_crossentropy", x, (y if mended else y // 2).astype("float32"))


@fault("class_imbalance", ("y", "loss"), says="most frequent class", depth="steps")
def lesions_of_a_few_pixels(mended):
    x, y = discs(n=96, radius=(1.0, 1.3) if not mended else (3.5, 5.0), seed=4)
    r = np.random.default_rng(0)
    x = np.clip(x + r.normal(0, 0.16, x.shape), 0, 1).astype("float32")
    return run(net(mask()), "binary_crossentropy", x, y.astype("float32"), ADAM(0.003), epochs=8)


@fault("labels_not_aligned", "y", says="turned by", depth="batch")
def masks_turned_but_not_the_images(mended):
    x, y = discs(seed=5)
    return run(net(mask()), "binary_crossentropy", x, (y if mended else np.rot90(y, 1, (1, 2))).astype("float32"))


@fault("labels_not_aligned", "y", says="mirrored", depth="batch")
def masks_mirrored_but_not_the_images(mended):
    x, y = discs(seed=6)
    return run(net(mask()), "binary_crossentropy", x, (y if mended else y[:, ::-1]).astype("float32"))


@fault("labels_not_aligned", "y", says="", depth="steps")
def files_listed_in_two_orders(mended):
    x, y = discs(n=80, seed=7)
    order = np.arange(80) if mended else np.random.default_rng(1).permutation(80)
    return run(net(mask()), "binary_crossentropy", x, y[order].astype("float32"))


@fault("nonfinite_data", "x", says="infinite")
def scans_divided_by_their_own_maximum(mended):
    x, y = discs()
    x = x.copy()
    x[3] = 0
    with np.errstate(invalid="ignore"):
        x = x / (np.maximum(x.max((1, 2, 3), keepdims=True), 1e-6) if mended else x.max((1, 2, 3), keepdims=True))
    return run(net(mask()), "binary_crossentropy", x, y.astype("float32"))


@fault(
    ("unscaled_input", "learning_rate_too_high", "dead_units"),
    ("x", "optimizer.learning_rate"),
    says="x",
    depth="steps",
)
def scanner_counts_of_thousands(mended):
    x, y = discs(seed=8)
    x = x if mended else x * 4000 + 30000
    return run(net(mask()), "binary_crossentropy", x.astype("float32"), y.astype("float32"))


@fault("train_validation_mismatch", "validation", says="deviations")
def validation_images_left_at_255(mended):
    x, y = discs()
    xv, yv = discs(n=24, seed=9)
    return run(net(mask()), "binary_crossentropy", x, y.astype("float32"),
               validation=(xv if mended else xv * 255, yv.astype("float32")))  # fmt: skip


@fault("train_validation_mismatch", "validation", says="0, 255")
def validation_masks_left_at_255(mended):
    x, y = discs()
    xv, yv = discs(n=24, seed=10)
    return run(net(mask()), "binary_crossentropy", x, y.astype("float32"),
               validation=(xv, (yv if mended else yv * 255).astype("float32")))  # fmt: skip


@fault("wrong_loss", "loss", says="most frequent class")
def absolute_error_on_masks(mended):
    x, y = discs(radius=(1.5, 3.0))
    return run(net(mask()), "binary_crossentropy" if mended else "mae", x, y.astype("float32"), epochs=40)


@fault("dropout_on_output", "drop", says="after the last weights")
def dropout_on_the_mask(mended):
    x, y = discs()
    last = [mask(None), layers.SpatialDropout2D(0.0 if mended else 0.8, name="drop"), layers.Activation("sigmoid")]
    return run(net(*last), "binary_crossentropy", x, y.astype("float32"))


@fault(
    ("symmetric_units", "weight_initialization", "zero_gradient"), ("down", "up", "mask"), says="weights", depth="batch"
)
def filters_that_start_alike(mended):
    x, y = discs(classes=3)
    start = "he_normal" if mended else initializers.Constant(0.02)
    head = layers.Conv2D(3, 1, activation="softmax", kernel_initializer=start, name="mask")
    return run(net(head, kernel_initializer=start), "sparse_categorical_crossentropy", x, y)


@fault("regularization_too_strong", ("down", "up"), says="penalty", depth="steps")
def a_penalty_on_every_filter(mended):
    x, y = discs()
    model = net(mask(), kernel_regularizer=regularizers.L1L2(1e-6, 1e-6) if mended else regularizers.L1L2(0.3, 0.3))
    return run(model, "binary_crossentropy", x, y.astype("float32"))


@fault("learning_rate_too_high", "optimizer.learning_rate", says="lower", depth="steps")
def a_rate_of_two_for_masks(mended):
    x, y = discs()
    return run(net(mask()), dice, x, y.astype("float32"), ADAM(0.01 if mended else 2.0))


@fault("learning_rate_too_low", "optimizer.learning_rate", says="higher", depth="steps")
def a_rate_of_nothing_for_masks(mended):
    x, y = discs()
    return run(
        net(mask()),
        "binary_crossentropy",
        x,
        y.astype("float32"),
        keras.optimizers.SGD(1.0 if mended else 1e-4),
        epochs=40,
    )


@fault("zero_gradient", ("threshold", "mask"), says="No gradient", depth="batch")
def a_threshold_inside_the_model(mended):
    x, y = discs()
    cut = layers.Lambda((lambda t: t) if mended else (lambda t: tf.cast(t > 0.5, "float32")), name="threshold")
    return run(net(mask(), cut), dice, x, y.astype("float32"))


@fault("batchnorm_statistics", ("norm", "norm2", "batch_size"), says="moving averages", depth="steps")
def normalisation_in_thirty_steps(mended):
    x, y = discs(n=64)
    momentum = 0.6 if mended else 0.99
    model = keras.Sequential([
        keras.Input((16, 16, 1)), layers.Conv2D(8, 3, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=momentum, name="norm"), layers.Activation("relu"),
        layers.Conv2D(8, 3, padding="same", use_bias=False), layers.BatchNormalization(momentum=momentum, name="norm2"),
        layers.Activation("relu"), mask(),
    ])  # fmt: skip
    return run(model, "binary_crossentropy", 60 * x + 200, y.astype("float32"), epochs=5)
