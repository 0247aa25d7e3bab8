"""Zeros and NaN where a tensor is used several times, where it is empty, and in second derivatives."""

import keras
import numpy as np
import tensorflow as tf

from .counts import data, net
from .expectation import mistake


@mistake("nan_gradient", ops=("Log",), nan="all")
def dice_beside_a_log_of_zero():
    model, x = net(4, 3, last="sigmoid"), data(6, 4)
    y = tf.constant(np.eye(3)[[0, 1, 2, 0, 1, 2]], tf.float32)

    def forward_loss():
        p = model(x)
        dice = 1.0 - 2.0 * tf.reduce_sum(p * y) / (tf.reduce_sum(p) + tf.reduce_sum(y) + 1.0)
        entropy = -tf.reduce_mean(y * tf.math.log(p * y))  # HERE
        return dice + entropy

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Sqrt",), nan="all")
def convolutions_before_a_distance():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(2, 3, padding="same", name="c1"),
            keras.layers.Conv2D(2, 3, padding="same", name="c2"),
        ]
    )
    x = data(2, 64)
    x = tf.reshape(x, [2, 8, 8, 1])

    def forward_loss():
        z = model(x)
        a, b = z[..., 0], z[..., 0]
        distance = tf.sqrt(tf.reduce_sum(tf.square(a - b), [1, 2]))  # HERE
        return tf.reduce_mean(distance) + tf.reduce_mean(tf.square(z))

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("RealDiv",), nan="all")
def where_after_the_division():
    model, x = net(4, 2, last="relu"), data(6, 4)

    def forward_loss():
        p = model(x)
        count = tf.nn.relu(p - 100.0)
        ratio = tf.where(count > 0, p / count, tf.zeros_like(p))  # HERE
        return tf.reduce_mean(ratio) + tf.reduce_mean(p * p) + tf.reduce_sum(tf.nn.softplus(p))

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Pow",), nan="all")
def power_of_a_difference_used_twice():
    model, x, y = net(4, 1), data(6, 4), data(6, 1)

    def forward_loss():
        e = model(x) - y
        e = e * 0.0
        charbonnier = tf.pow(tf.square(e), 0.45)  # HERE
        return tf.reduce_mean(charbonnier) + tf.reduce_mean(tf.abs(model(x) - y))

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Sqrt", "RealDiv"), nan="all")
def norm_of_a_zero_embedding():
    model, x = net(4, 3), tf.zeros([6, 4])

    def forward_loss():
        z = model(x)
        unit = z / tf.norm(z, axis=-1, keepdims=True)  # HERE
        return tf.reduce_mean(unit) + tf.reduce_mean(z)

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Acos",), nan="all")
def angle_between_equal_vectors():
    model, x = net(4, 3), data(6, 4)

    def forward_loss():
        u = model(x)
        cosine = u / tf.stop_gradient(u)
        return tf.reduce_mean(tf.acos(cosine)) + tf.reduce_mean(u)  # HERE

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Log", "Xlogy", "Log1p"), nan="all")
def entropy_of_hard_probabilities():
    model, x = net(4, 2, last="relu"), data(6, 4)

    def forward_loss():
        p = keras.ops.relu(model(x) - 50.0)
        return -keras.ops.mean(p * keras.ops.log(p))  # HERE

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Sqrt", "Rsqrt"), nan="all")
def standard_deviation_over_a_batch_of_one():
    model, x = net(4, 2), data(1, 4)

    def forward_loss():
        z = model(x)
        return tf.reduce_mean(tf.math.reduce_std(z, axis=0)) + tf.reduce_mean(z)  # HERE

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Exp",), nan="all")
def exponential_of_a_large_logit():
    model, x = net(4, 2), data(6, 4)

    def forward_loss():
        e = tf.exp(model(x) * 0.0 + 200.0 + model(x))  # HERE
        return tf.reduce_mean(e / tf.reduce_sum(e, -1, keepdims=True))

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("RealDiv",), nan="all")
def keras_ops_divide_by_an_empty_mask():
    model, x, mask = net(4, 2), data(6, 4), tf.zeros([6, 2])

    def forward_loss():
        p = model(x)
        return keras.ops.divide(keras.ops.sum(p * mask), keras.ops.sum(mask))  # HERE

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("Sub", "SquaredDifference"), zero="all")
def prediction_minus_itself_in_a_minimum():
    model, x, gain = net(4, 2), data(6, 4), data(6, 2)

    def forward_loss():
        z = model(x)
        old, new = z, z
        ratio = tf.exp(new - old)  # HERE
        return -tf.reduce_mean(tf.minimum(ratio * gain, tf.clip_by_value(ratio, 0.8, 1.2) * gain))

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("Sub", "SquaredDifference", "Square", "MatMul"), zero="all")
def consistency_of_a_deterministic_network():
    model, x = net(4, 2), data(6, 4)

    def forward_loss():
        first, second = model(x, training=True), model(x, training=True)
        return tf.reduce_mean(tf.square(first - second))  # HERE

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("StridedSlice",), zero="all")
def foreground_of_one_channel():
    model, x = net(4, 1, last="sigmoid"), data(6, 4)

    def forward_loss():
        foreground = model(x)[:, 1:]  # HERE
        return 1.0 - tf.reduce_sum(foreground) / (tf.reduce_sum(foreground) + 1.0)

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("GatherNd", "GatherV2", "Where", "StridedSlice", "Slice"), zero="all", words=("empty",))
def no_pixel_is_valid():
    model, x = net(4, 1, last="sigmoid"), data(6, 4)
    valid = tf.zeros([6], tf.bool)

    def forward_loss():
        p = tf.boolean_mask(model(x), valid)  # HERE
        return tf.reduce_sum(tf.square(p - 1.0)) / 6.0

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("SplitV", "Split", "StridedSlice"), zero="all")
def split_leaves_nothing():
    model, x = net(4, 2), data(6, 4)

    def forward_loss():
        _, rest = tf.split(model(x), [2, 0], axis=1)  # HERE
        return tf.reduce_sum(rest)

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("Mul",), zero=("hidden", "head"))
def mask_of_zeros_by_keras_masking():
    model, x = net(4, 2), data(6, 4)
    weights = tf.zeros([6, 1])

    def forward_loss():
        error = tf.square(model(x) - 1.0) * weights  # HERE
        return tf.reduce_sum(error) / tf.maximum(tf.reduce_sum(weights), 1.0)

    return forward_loss, model.trainable_variables


def second(x, model):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            u = model(x)
        slope = inner.gradient(u, x)
    return outer.gradient(slope, x)


@mistake("zero_gradient", zero=("hidden",), none=("head",), ops=("ReluGrad",), words=("relu", "tanh", "second"))
def heat_equation_by_relu():
    x = data(6, 1)
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(6, "relu", name="hidden"), keras.layers.Dense(1, name="head")]
    )

    def forward_loss():
        curvature = second(x, model)
        return tf.reduce_mean(tf.square(curvature - 1.0))

    return forward_loss, model.trainable_variables


@mistake("not_used", "zero_gradient", "non_differentiable_op", raises="Error", words=("second derivative",))
def laplacian_of_a_linear_network():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(6, name="hidden"), keras.layers.Dense(1)])
    x = data(6, 1)

    def forward_loss():
        curvature = second(x, model)
        return tf.reduce_mean(tf.square(curvature - 1.0))

    return forward_loss, model.trainable_variables


@mistake(
    "zero_gradient", "not_used", zero=("hidden/kernel",), none=("hidden/bias", "dense"), words=("second derivative",)
)
def wave_equation_by_leaky_relu_and_two_inputs():
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(6, name="hidden"), keras.layers.LeakyReLU(), keras.layers.Dense(1)]
    )
    x = data(6, 1)
    t = data(6, 1)

    def forward_loss():
        with tf.GradientTape(persistent=True) as outer:
            outer.watch([x, t])
            with tf.GradientTape(persistent=True) as inner:
                inner.watch([x, t])
                u = model(tf.concat([x, t], 1))
            u_t = inner.gradient(u, t)
        u_tt = outer.gradient(u_t, t)
        return tf.reduce_mean(tf.square(u_tt))

    return forward_loss, model.trainable_variables
