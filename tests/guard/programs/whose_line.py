"""Whose line: layers that die or saturate inside Keras, variables inside functional models, integers."""

import keras
import numpy as np
import tensorflow as tf

from .counts import data, net
from .expectation import mistake


@mistake("zero_gradient", ops=("Relu",), zero="all", words=("mask",))
def dead_last_relu():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, activation="tanh", name="hidden"),
            keras.layers.Dense(1, "relu", bias_initializer=keras.initializers.Constant(-9.0), name="mask"),  # HERE
        ]
    )
    x, y = data(6, 4), data(6, 1)
    return (lambda: keras.losses.MeanSquaredError()(y, model(x, training=True))), model.trainable_variables


@mistake("zero_gradient", ops=("Sigmoid",), zero="all")
def saturated_functional_sigmoid():
    inputs = keras.Input((4,), name="pixels")
    hidden = keras.layers.Dense(3, name="hidden", kernel_initializer="ones")(inputs)
    outputs = keras.layers.Dense(1, activation="sigmoid", kernel_initializer="ones", name="verdict")(hidden)  # HERE
    model, x = keras.Model(inputs, outputs), data(6, 4) * 255.0
    return (lambda: tf.reduce_mean(tf.square(model(x) - 0.5))), model.trainable_variables


@mistake("zero_gradient", ops=("Relu", "LeakyRelu"), zero="all")
def dead_activation_layer():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(2, 3, bias_initializer=keras.initializers.Constant(-50.0), name="conv"),
            keras.layers.Activation("relu", name="rectify"),  # HERE
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    x = tf.ones([2, 8, 8, 1])
    return (lambda: tf.reduce_mean(model(x))), model.trainable_variables


@mistake("zero_gradient", ops=("Tanh",), zero="all")
def saturated_tanh_of_a_subclassed_model():
    class Critic(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Dense(4, kernel_initializer="ones", name="first")
            self.second = keras.layers.Dense(1, activation="tanh", kernel_initializer="ones", name="second")  # HERE

        def call(self, x):
            return self.second(self.first(x))

    model, x = Critic(), data(6, 4) * 1000.0
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x)))), model.trainable_variables


@mistake("untracked_variable", stray=("gate",))
def variable_in_a_functional_graph():
    gate = tf.Variable(0.5, name="gate")  # HERE
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(2, name="d")(inputs) * keras.ops.convert_to_tensor(1.0)
    outputs = keras.layers.Lambda(lambda t: t * gate)(outputs)  # HERE
    model, x = keras.Model(inputs, outputs), data(6, 4)
    return (lambda: tf.reduce_mean(tf.square(model(x)))), model.trainable_variables


@mistake("integer_cast", "non_differentiable_op", none=("threshold",))
def integer_threshold_variable():
    threshold = tf.Variable(3, name="threshold")  # HERE
    model, x = net(2), data(6, 4)

    def forward_loss():
        return tf.reduce_mean(tf.square(model(x) * tf.cast(threshold, tf.float32)))

    return forward_loss, [threshold, *model.trainable_variables]


@mistake("integer_cast", "not_trainable", none=("steps",))
def integer_from_numpy():
    steps = tf.Variable(np.array([1, 2, 3, 4]), name="steps")  # HERE
    model, x = net(2), data(6, 4)
    return (lambda: tf.reduce_mean(model(x * tf.cast(steps, tf.float32)))), [steps, *model.trainable_variables]


@mistake(
    "zero_gradient", ops=("Relu", "Softplus", "Selu", "Elu", "Relu6", "Minimum", "ClipByValue", "Maximum"), zero="all"
)
def relu6_beyond_its_range():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, kernel_initializer="ones", name="a"),
            keras.layers.Dense(1, activation="relu6", kernel_initializer="ones", name="b"),  # HERE
        ]
    )
    x = data(6, 4) + 9.0
    return (lambda: tf.reduce_mean(model(x))), model.trainable_variables


@mistake("zero_gradient", ops=("Relu",), zero="all")
def dead_relu_layer_in_a_time_distributed():
    inner = keras.layers.Dense(2, activation="relu", bias_initializer=keras.initializers.Constant(-99.0), name="step")
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.TimeDistributed(inner, name="each")])
    x = tf.ones([2, 3, 4])
    return (lambda: tf.reduce_mean(model(x))), model.trainable_variables


@mistake("zero_gradient", ops=("Softmax",), zero=("hidden", "head"))
def softmax_layer_over_one_unit():
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, "tanh", name="hidden"), keras.layers.Dense(1, name="head")]
    )
    squash = keras.layers.Softmax(name="squash")  # HERE
    x, y = data(6, 4), data(6, 1)
    return (lambda: tf.reduce_mean(tf.square(squash(model(x)) - y))), model.trainable_variables


@mistake("zero_gradient", ops=("Softmax",), zero="all")
def dense_softmax_of_one_unit_with_mse():
    model = net(3, 1, last="softmax")
    x, y = data(6, 4), data(6, 1)
    return (lambda: keras.losses.MeanSquaredError()(y, model(x))), model.trainable_variables


@mistake("zero_gradient", ops=("Softmax", "LogSoftmax"), zero="all")
def log_softmax_over_the_wrong_axis():
    model = net(3, 1)
    x = data(6, 4)

    def forward_loss():
        return -tf.reduce_mean(tf.nn.log_softmax(model(x), axis=-1))  # HERE

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("Softmax",), zero="all")
def attention_over_one_key():
    query, x = net(3), data(6, 4)

    def forward_loss():
        scores = query(x) @ tf.ones([3, 1])
        weights = keras.ops.softmax(scores, axis=-1)  # HERE
        return tf.reduce_mean(weights * x)

    return forward_loss, query.trainable_variables


@mistake("zero_gradient", zero="all")
def normalised_over_one_entry():
    model, x = net(3, 1), data(6, 4)

    def forward_loss():
        p = tf.exp(model(x))
        share = p / tf.reduce_sum(p, axis=-1, keepdims=True)  # HERE
        return tf.reduce_mean(share * x)

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", zero=("head/kernel", "head/bias", "hidden"), ops=("Sub", "Mean", "SquaredDifference", "Mul"))
def layer_normalisation_over_one_feature():
    model, x = net(3, 1), data(6, 4)
    norm = keras.layers.LayerNormalization(name="norm")  # HERE
    norm.build((6, 1))
    return (lambda: tf.reduce_mean(norm(model(x)) * x)), model.trainable_variables


@mistake("zero_gradient", zero="all")
def softmax_cross_entropy_of_one_logit():
    model, x = net(3, 1), data(6, 4)
    y = tf.ones([6, 1])

    def forward_loss():
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y, model(x)))  # HERE

    return forward_loss, model.trainable_variables
