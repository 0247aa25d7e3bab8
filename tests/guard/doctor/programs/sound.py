"""Programs that only look ill: the doctor keeps silent."""

import keras
import numpy as np
import tensorflow as tf
from keras import initializers, layers, losses, regularizers

from tests.guard.doctor.making import asked, bars, curve, discs, groups, healthy, moons, one_hot, walks, words
from tests.guard.doctor.programs.segmentation import dice, mask, net, run

ADAM = keras.optimizers.Adam


def stack(x, *rest):
    return keras.Sequential([keras.Input(x.shape[1:]), *rest])


@healthy
def squares_on_a_sigmoid_autoencoder():
    x, _ = bars()
    x = x.reshape(len(x), -1)
    model = stack(x, layers.Dense(48, activation="relu"), layers.Dense(144, activation="sigmoid"))
    return asked(model, "mse", ADAM(0.01), x, x)


@healthy
def cross_entropy_on_grey_images():
    x, _ = bars()
    model = stack(x, layers.Flatten(), layers.Dense(48, activation="relu"), layers.Dense(144, activation="sigmoid"),
                  layers.Reshape(x.shape[1:]))  # fmt: skip
    return asked(model, "binary_crossentropy", ADAM(0.01), x, x)


@healthy
def tanh_for_images_of_both_signs():
    x, _ = bars()
    x = (2 * x - 1).reshape(len(x), -1)
    return asked(
        stack(x, layers.Dense(48, activation="relu"), layers.Dense(144, activation="tanh")), "mse", ADAM(0.01), x, x
    )


@healthy
def no_bias_before_normalisation():
    x, y = discs()
    model = stack(
        x, layers.Conv2D(8, 3, padding="same", use_bias=False), layers.BatchNormalization(momentum=0.9), layers.ReLU(),
        layers.Conv2D(8, 3, padding="same", use_bias=False), layers.BatchNormalization(momentum=0.9), layers.ReLU(),
        mask(),
    )  # fmt: skip
    return run(model, "binary_crossentropy", x, y.astype("float32"), epochs=20)


@healthy
def several_labels_at_once():
    x, y = groups(k=4)
    several = np.stack([y < 2, y % 2 == 0, y > 0], 1).astype("float32")
    model = stack(x, layers.Dense(24, activation="relu"), layers.Dense(3, activation="sigmoid"))
    return asked(model, "binary_crossentropy", ADAM(0.02), x, several)


@healthy
def rare_and_weighted():
    r = np.random.default_rng(3)
    y = (r.uniform(size=900) < 0.06).astype("float32")
    x = r.normal(0, 1, (900, 6)).astype("float32") + 1.3 * y[:, None]

    def weighted(y_true, y_pred):
        loss = keras.losses.binary_crossentropy(y_true, y_pred)
        return loss * (1 + 14 * tf.reshape(tf.cast(y_true, "float32"), tf.shape(loss)))

    model = stack(x, layers.Dense(24, activation="relu"), layers.Dense(1, activation="sigmoid"))
    return asked(model, weighted, ADAM(0.01), x, y[:, None])


@healthy
def rare_but_easy():
    r = np.random.default_rng(4)
    y = (r.uniform(size=900) < 0.05).astype("int64")
    x = r.normal(0, 1, (900, 4)).astype("float32") + 3.0 * y[:, None].astype("float32")
    model = stack(x, layers.Dense(24, activation="relu"), layers.Dense(1, activation="sigmoid"))
    return asked(model, "binary_crossentropy", ADAM(0.02), x, y)


@healthy
def a_frozen_backbone_that_was_trained():
    x, y = groups()
    backbone = keras.Sequential(
        [keras.Input(x.shape[1:]), layers.Dense(32, activation="relu"), layers.Dense(16, activation="relu")]
    )
    before = keras.Sequential([backbone, layers.Dense(5, activation="softmax")])
    before.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    before.fit(x, y, epochs=10, verbose=0)
    backbone.trainable = False
    return asked(keras.Sequential([backbone, layers.Dense(5, activation="softmax", name="head")]),
                 "sparse_categorical_crossentropy", ADAM(0.03), x, (y + 2) % 5)  # fmt: skip


@healthy
def sgd_at_a_tenth():
    x, y = moons()
    model = stack(
        x,
        layers.Dense(32, activation="relu"),
        layers.Dense(32, activation="relu"),
        layers.Dense(2, activation="softmax"),
    )
    return asked(model, "sparse_categorical_crossentropy", keras.optimizers.SGD(0.1, momentum=0.9), x, y, epochs=20)


@healthy
def logits_told_twice_and_seen_through():
    x, y = groups()
    model = stack(x, layers.Dense(24, activation="relu"), layers.Dense(5, activation="softmax"))
    return asked(model, losses.SparseCategoricalCrossentropy(from_logits=True), ADAM(0.01), x, y)


@healthy
def a_home_made_loss_of_scores():
    x, y = discs()

    def both(y_true, y_pred):
        y_true = tf.cast(y_true, "float32")
        return dice(y_true, tf.sigmoid(y_pred)) + tf.reduce_mean(
            tf.nn.sigmoid_cross_entropy_with_logits(labels=y_true, logits=y_pred), (1, 2, 3))  # fmt: skip

    return run(net(mask(None)), both, x, y.astype("float32"))


@healthy
def a_home_made_dice_of_probabilities():
    x, y = discs()
    return run(net(mask()), dice, x, y.astype("float32"))


@healthy
def a_void_class_that_is_left_out():
    x, y = discs(classes=3)
    y = y.copy()
    y[:, :1] = 255
    return run(net(mask("softmax", 3)), losses.SparseCategoricalCrossentropy(ignore_class=255), x, y)


@healthy
def class_numbers_as_floats_with_a_last_axis():
    x, y = discs(classes=3)
    return run(net(mask("softmax", 3)), "sparse_categorical_crossentropy", x, y.astype("float32"), epochs=20)


@healthy
def squares_on_two_classes():
    x, y = moons()
    model = stack(x, layers.Dense(24, activation="tanh"), layers.Dense(1, activation="sigmoid"))
    return asked(model, "mse", ADAM(0.03), x, y, epochs=20)


@healthy
def tanh_for_labels_of_both_signs():
    x, y = moons()
    model = stack(x, layers.Dense(24, activation="relu"), layers.Dense(1, activation="tanh"))
    return asked(model, "squared_hinge", ADAM(0.02), x, 2.0 * y - 1, epochs=20)


@healthy
def images_up_to_255_rescaled_inside():
    x, y = bars()
    model = stack(x, layers.Rescaling(1 / 255), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(),
                  layers.Dense(1, activation="sigmoid"))  # fmt: skip
    return asked(model, "binary_crossentropy", ADAM(0.01), np.round(x * 255), y)


@healthy
def token_ids_are_no_measurements():
    x, y = words()
    model = stack(x, layers.Embedding(40, 8), layers.GlobalAveragePooling1D(), layers.Dense(1, activation="sigmoid"))
    return asked(model, "binary_crossentropy", ADAM(0.03), x, y)


@healthy
def targets_of_tens_that_adam_reaches():
    x, y = curve()
    model = stack(x, layers.Dense(64, activation="relu"), layers.Dense(64, activation="relu"), layers.Dense(1))
    return asked(model, "mse", ADAM(0.02), x, 6 * y + 10, epochs=40)


@healthy
def a_linear_model_for_a_line():
    x, _ = curve()
    y = (x @ np.array([[1.5], [-0.7]]) + 0.3).astype("float32")
    return asked(stack(x, layers.Dense(8), layers.Dense(1)), "mse", ADAM(0.02), x, y, epochs=20)


@healthy
def a_head_that_starts_at_zero():
    x, y = groups()
    model = stack(
        x, layers.Dense(24, activation="relu"), layers.Dense(5, activation="softmax", kernel_initializer="zeros")
    )
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.02), x, y)


@healthy
def a_prior_in_the_bias():
    x, y = discs(radius=(1.5, 3.0))
    prior = float(np.log(y.mean() / (1 - y.mean())))
    head = layers.Conv2D(1, 1, activation="sigmoid", bias_initializer=initializers.Constant(prior), name="mask")
    return run(net(head), "binary_crossentropy", x, y.astype("float32"), epochs=20)


@healthy
def half_of_a_wide_layer_dropped():
    x, y = groups()
    model = stack(x, layers.Dense(128, activation="relu"), layers.Dropout(0.5), layers.Dense(5, activation="softmax"))
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@healthy
def a_light_penalty():
    x, y = groups()
    model = stack(
        x,
        layers.Dense(32, activation="relu", kernel_regularizer=regularizers.L2(1e-3)),
        layers.Dense(5, activation="softmax"),
    )
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@healthy
def validation_of_another_draw():
    x, y = moons(120)
    xv, yv = moons(24, seed=3)
    model = stack(x, layers.Dense(32, activation="relu"), layers.Dense(1, activation="sigmoid"))
    return asked(model, "binary_crossentropy", ADAM(0.03), x, y, validation=(xv, yv), epochs=40)


@healthy
def rows_as_a_data_set_of_two_inputs():
    x, y = groups()
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    both = layers.Concatenate()([layers.Dense(16, activation="relu")(left), layers.Dense(16, activation="relu")(right)])
    model = keras.Model({"left": left, "right": right}, layers.Dense(5, activation="softmax")(both))
    data = tf.data.Dataset.from_tensor_slices(({"left": x[:, :3], "right": x[:, 3:]}, y)).batch(32)
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.02), data, None)


@healthy
def a_model_of_ones_own_class():
    class Small(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = layers.Dense(24, activation="relu"), layers.Dense(5, activation="softmax")

        def call(self, x):
            return self.out(self.hidden(x))

    x, y = groups()
    return asked(Small(), "sparse_categorical_crossentropy", ADAM(0.02), x, y)


@healthy
def a_loss_that_the_model_adds_itself():
    class Noisy(layers.Layer):
        def call(self, x, training=False):
            self.add_loss(1e-3 * tf.reduce_mean(tf.square(x)))
            return x + 0.05 * tf.random.normal(tf.shape(x)) if training else x

    x, y = curve()
    model = stack(x, layers.Dense(48, activation="relu"), Noisy(), layers.Dense(1))
    return asked(model, losses.Huber(), "adam", x, y, epochs=60)


@healthy
def a_recurrent_answer_at_every_step():
    x, _ = walks()
    y = (np.cumsum(x, 1) > 0).astype("float32")
    model = stack(x, layers.LSTM(16, return_sequences=True), layers.Dense(1, activation="sigmoid"))
    return asked(model, "binary_crossentropy", ADAM(0.02), x, y)


@healthy
def soft_labels_of_a_teacher():
    x, y = groups()
    soft = 0.9 * one_hot(y, 5) + 0.02
    model = stack(x, layers.Dense(24, activation="relu"), layers.Dense(5, activation="softmax"))
    return asked(model, "categorical_crossentropy", ADAM(0.02), x, soft / soft.sum(1, keepdims=True))


@healthy
def a_noisy_task_that_nobody_learns_well():
    r = np.random.default_rng(11)
    x = r.normal(0, 1, (500, 5)).astype("float32")
    y = (0.5 * x[:, :1] + r.normal(0, 1.6, (500, 1))).astype("float32")
    return asked(stack(x, layers.Dense(16, activation="relu"), layers.Dense(1)), "mse", ADAM(0.005), x, y, epochs=12)


@healthy
def a_residual_branch_that_starts_at_zero():
    x, y = discs()
    image = keras.Input((16, 16, 1))
    stem = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    branch = layers.Conv2D(8, 3, padding="same", activation="relu")(stem)
    branch = layers.Conv2D(8, 3, padding="same", kernel_initializer="zeros")(branch)
    out = layers.Conv2D(1, 1, activation="sigmoid")(layers.ReLU()(layers.Add()([stem, branch])))
    return run(keras.Model(image, out), losses.BinaryCrossentropy(), x, y.astype("float32"), epochs=20)


@healthy
def a_waist_that_suffices():
    r = np.random.default_rng(0)
    x = (r.normal(0, 1, (400, 2)) @ r.normal(0, 1, (2, 10))).astype("float32")
    model = stack(x, layers.Dense(2), layers.Dense(10))
    return asked(model, "mse", ADAM(0.02), x, x, epochs=40)


@healthy
def symmetric_discs_turned_with_their_masks():
    x, y = discs(n=48, classes=3)
    return run(net(mask("softmax", 3)), "categorical_crossentropy", np.rot90(x, 1, (1, 2)),
               one_hot(np.rot90(y, 1, (1, 2)), 3),
               epochs=20)  # fmt: skip
