"""Weights turned into tensors once: in `__init__`, in `build()`, at top level, by an update written as arithmetic."""

import keras
import tensorflow as tf

from .counts import data, net
from .expectation import mistake


class Bayes(keras.layers.Layer):
    def build(self, shape):
        self.mu = self.add_weight(shape=(4, 2), initializer="normal", name="mu")
        self.rho = self.add_weight(shape=(4, 2), initializer="normal", name="rho")
        self.kernel = self.mu + tf.nn.softplus(self.rho) * 0.1

    def call(self, x):
        return tf.matmul(x, self.kernel)


@mistake("outside_tape", "variable_replaced", "not_used", none="all", words=("self.kernel",))
def kernel_sampled_in_build():
    layer, x = Bayes(name="bayes"), data(6, 4)
    layer(x)
    return (lambda: tf.reduce_mean(tf.square(layer(x)))), layer.trainable_variables


class Gate(keras.layers.Layer):
    def build(self, shape):
        self.gate = self.add_weight(shape=(), initializer="ones", name="gate")

    def call(self, x):
        self.gate = self.gate * 0.9
        return x * self.gate


class Scaled(keras.layers.Layer):
    def build(self, shape):
        self.raw = self.add_weight(shape=(4,), initializer="ones", name="raw")
        self.scale = keras.ops.exp(self.raw)

    def call(self, x):
        return keras.ops.multiply(x, self.scale)


@mistake("outside_tape", "variable_replaced", "not_used", none="all", words=("self.scale",))
def exponential_taken_in_build():
    layer, x = Scaled(name="scaled"), data(6, 4)
    layer(x)
    return (lambda: tf.reduce_mean(tf.square(layer(x)))), layer.trainable_variables


class Normed(keras.Model):
    def __init__(self):
        super().__init__()
        self.v = self.add_weight(shape=(4, 3), initializer="normal", name="v")
        self.w = tf.math.l2_normalize(self.v, axis=0)
        self.out = keras.layers.Dense(1, name="out")

    def call(self, x):
        return self.out(x @ self.w)


@mistake("outside_tape", "variable_replaced", "not_used", none=("/v", "v"), words=("self.w",))
def weight_normalised_in_the_constructor():
    model, x = Normed(), data(6, 4)
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x)))), [model.v]


@mistake("outside_tape", "variable_replaced", "not_used", none="all")
def plain_gradient_descent_in_a_loop():
    w = tf.Variable([[0.1], [0.2], [0.3], [0.4]], name="w")
    x, y = data(6, 4), data(6, 1)
    weights = {"w": w}
    for _ in range(2):
        with tf.GradientTape() as tape:
            tape.watch(weights["w"])
            loss = tf.reduce_mean(tf.square(x @ weights["w"] - y))
        weights["w"] = weights["w"] - 0.1 * tape.gradient(loss, weights["w"])  # HERE

    return (lambda: tf.reduce_mean(tf.square(x @ weights["w"] - y))), [w]


@mistake("outside_tape", "variable_replaced", "not_used", none=("/a", "a:"))
def embedding_matrix_normalised_once():
    a = tf.Variable(tf.random.stateless_normal([5, 3], [1, 2]), name="a")
    table = tf.nn.l2_normalize(a, axis=1)  # HERE
    ids = tf.constant([0, 2, 4])

    def forward_loss():
        return tf.reduce_mean(tf.nn.embedding_lookup(table, ids))

    return forward_loss, [a]


@mistake("outside_tape", none="all")
def tied_decoder_takes_the_transpose_once():
    encoder = keras.layers.Dense(3, use_bias=False, name="encoder")
    x = data(6, 4)
    encoder.build((None, 4))
    decode = tf.transpose(encoder.kernel)  # HERE
    codes = data(6, 3)

    def forward_loss():
        return tf.reduce_mean(tf.square(codes @ decode - x))

    return forward_loss, encoder.trainable_variables


@mistake("outside_tape", none="all")
def initial_state_repeated_once():
    h0 = tf.Variable(tf.ones([1, 3]), name="h0")
    start = tf.repeat(h0, 6, axis=0)  # HERE
    cell, x = keras.layers.GRUCell(3), data(6, 4)
    cell.build((None, 4))

    def forward_loss():
        out, _ = cell(x, [start])
        return tf.reduce_mean(out)

    return forward_loss, [h0]


@mistake("outside_tape", none=("temperature",))
def temperature_softplussed_in_a_module():
    class Head(tf.Module):
        def __init__(self):
            super().__init__()
            self.dense = net(3)
            self.raw = tf.Variable(1.0, name="temperature")
            self.temperature = tf.nn.softplus(self.raw)  # HERE

        def __call__(self, x):
            return tf.nn.softmax(self.dense(x) / self.temperature)

    head, x = Head(), data(6, 4)
    return (lambda: tf.reduce_mean(head(x)[:, 0])), [*head.dense.trainable_variables, head.raw]


@mistake("outside_tape", "variable_replaced", "not_used", none=("gate",))
def gate_overwritten_by_a_product():
    layer, x, dense = Gate(name="g"), data(6, 4), net(2)
    layer(x)
    layer(x)
    return (lambda: tf.reduce_mean(tf.square(dense(layer(x))))), layer.trainable_variables + dense.trainable_variables
