"""Mistakes for which there is something better to write, in the forms that people write them."""

import keras
import numpy as np
import tensorflow as tf

from .counts import data, net
from .expectation import mistake

K = keras.ops
IDS = tf.constant([0, 1, 2, 0, 1, 2])
ONE_HOT = tf.one_hot(IDS, 3)


@mistake("non_differentiable_op", ops=("ArgMax", "Equal"), none="all", mended=True)
def accuracy_of_two_argmaxes():
    model, x = net(4, 3), data(6, 4)

    def forward_loss():
        y_true, y_pred = ONE_HOT, model(x)
        hits = K.cast(K.equal(K.argmax(y_true, axis=-1), K.argmax(y_pred, axis=-1)), "float32")  # HERE
        return 1.0 - K.mean(hits)

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Greater",), none="all", mended=True)
def iou_by_math_greater():
    model, x, y = net(4, 1, last="sigmoid"), data(6, 4), tf.ones([6, 1])

    def forward_loss():
        y_pred = tf.cast(tf.math.greater(model(x), 0.5), tf.float32)  # HERE
        inter = tf.reduce_sum(y * y_pred)
        return 1.0 - inter / (tf.reduce_sum(y) + tf.reduce_sum(y_pred) - inter + 1e-6)

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", "integer_cast", ops=("ArgMax", "Cast"), none="all", mended=True)
def mask_with_a_channel_again():
    model, x, y = net(4, 3), data(6, 4), tf.cast(IDS, tf.float32)[:, None]

    def forward_loss():
        mask = tf.expand_dims(tf.argmax(model(x), axis=-1), axis=-1)  # HERE
        return tf.reduce_mean(tf.abs(tf.cast(mask, tf.float32) - y))

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Round", "Equal"), none="all", mended=True)
def true_positives_by_logical_and():
    model, x, y = net(4, 1, last="sigmoid"), data(6, 4), tf.ones([6, 1])

    def forward_loss():
        pred = tf.round(model(x))  # HERE
        hits = tf.logical_and(tf.equal(pred, 1.0), tf.equal(y, 1.0))  # HERE
        return 1.0 - tf.reduce_sum(tf.cast(hits, tf.float32)) / tf.reduce_sum(y)

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("GreaterEqual",), none="all", mended=True)
def binary_mask_of_integers():
    model, x, y = net(4, 1, last="sigmoid"), data(6, 4), data(6, 1)

    def forward_loss():
        mask = tf.where(model(x) >= 0.5, 1, 0)  # HERE
        return tf.reduce_mean(tf.square(tf.cast(mask, tf.float32) - y))

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", none="all", mended=True)
def mean_by_numpy():
    model, x, y = net(4, 1), data(6, 4), data(6, 1)
    return (lambda: tf.reduce_mean(np.square(model(x) - y))), model.trainable_variables  # HERE


@mistake("non_differentiable_op", ops=("Less",), none="all", mended=True)
def outliers_left_out_by_a_boolean():
    model, x, y = net(4, 1), data(6, 4), data(6, 1)

    def forward_loss():
        error = tf.abs(model(x) - y)
        inlier = error < 0.3  # HERE
        return tf.reduce_mean(tf.cast(inlier, tf.float32))

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("Sign",), zero="all", mended=True)
def binarised_activations():
    model, x = net(4, 2), data(6, 4)
    return (lambda: tf.reduce_mean(tf.sign(model(x)) * data(6, 2))), model.trainable_variables  # HERE


@mistake("nan_gradient", ops=("Sqrt",), nan="all", mended=True)
def distances_of_all_pairs():
    model, x = net(4, 2), data(6, 4)

    def forward_loss():
        z = model(x)
        squares = tf.reduce_sum(tf.square(z[:, None] - z[None]), -1)
        return tf.reduce_mean(tf.sqrt(squares))  # HERE

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Log",), nan="all", mended=True)
def cross_entropy_by_hand():
    model, x = net(4, 3, last="relu"), data(6, 4)

    def forward_loss():
        p = model(x)
        p = p / 10.0
        return -tf.reduce_mean(ONE_HOT * tf.math.log(p)) + tf.reduce_sum(p)  # HERE

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("Relu",), zero=("hidden0", "head/kernel"), mended=True)
def dead_hidden_layer():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                5, activation="relu", bias_initializer=keras.initializers.Constant(-60.0), name="hidden0"
            ),
            keras.layers.Dense(2, name="head"),
        ]
    )
    x, y = data(6, 4), data(6, 2)
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables


@mistake("stop_gradient", ops=("StopGradient",), none="all", mended=True)
def target_is_the_prediction():
    model, x, y = net(4, 2), data(6, 4), data(6, 2)

    def forward_loss():
        p = K.stop_gradient(model(x))  # HERE
        return K.mean(K.square(p - y))

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("ArgMax",), none=("gate",), mended=True)
def experts_chosen_by_argmax():
    gate = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="gate")])
    table = tf.Variable(tf.random.stateless_normal([3, 2], [3, 4]), name="table")
    x = data(6, 4)

    def forward_loss():
        which = tf.argmax(gate(x), axis=-1)  # HERE
        chosen = tf.gather(table, which)
        return tf.reduce_mean(tf.square(chosen - 1.0))

    return forward_loss, [*gate.trainable_variables, table]
