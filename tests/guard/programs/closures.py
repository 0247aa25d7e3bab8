"""A trainable variable that only a closure, an attribute or a SavedModel holds: one verdict for all entry points."""

import tempfile

import keras
import tensorflow as tf

from .counts import data, net
from .expectation import mistake


@mistake("untracked_variable", stray=("gamma",))
def focal_factory():
    def focal():
        gamma = tf.Variable(2.0, name="gamma", trainable=True)  # HERE

        def loss(y, p):
            return tf.reduce_mean(tf.pow(tf.abs(y - p), gamma))  # HERE

        return loss

    return {"model": net(4, 1, last="sigmoid"), "loss_fn": focal(), "x": data(6, 4), "y": data(6, 1)}


@mistake("untracked_variable", stray=("log_sigma",))
def loss_object_with_a_variable():
    class Uncertain(keras.losses.Loss):
        def __init__(self):
            super().__init__()
            self.log_sigma = tf.Variable(0.1, name="log_sigma")  # HERE

        def call(self, y, p):
            return tf.reduce_mean(tf.exp(-self.log_sigma) * tf.square(y - p) + self.log_sigma, -1)  # HERE

    return {"model": net(4, 1), "loss_fn": Uncertain(), "x": data(6, 4), "y": data(6, 1)}


@mistake("untracked_variable", stray=("alpha",))
def keras_variable_in_a_loss_closure():
    def adaptive():
        alpha = keras.Variable(1.0, name="alpha")  # HERE
        return lambda y, p: keras.ops.mean(keras.ops.square(y - p) * keras.ops.exp(alpha))  # HERE

    return {"model": net(4, 1), "loss_fn": adaptive(), "x": data(6, 4), "y": data(6, 1)}


@mistake("untracked_variable", stray=("s1", "s2"))
def two_task_weights():
    def multi():
        s1, s2 = tf.Variable(0.1, name="s1"), tf.Variable(0.2, name="s2")  # HERE

        def loss(y, p):
            a = tf.reduce_mean(tf.square(y - p))
            b = tf.reduce_mean(tf.abs(y - p))
            return tf.exp(-s1) * a + s1 + tf.exp(-s2) * b + s2  # HERE

        return loss

    return {"model": net(4, 1), "loss_fn": multi(), "x": data(6, 4), "y": data(6, 1)}


@mistake("untracked_variable", stray=("centres", "centers"))
def centre_loss():
    def centre(classes):
        centres = tf.Variable(tf.zeros([classes, 2]) + 0.1, name="centres")  # HERE

        def loss(y, p):
            near = tf.gather(centres, tf.cast(y[:, 0], tf.int32))  # HERE
            return tf.reduce_mean(tf.square(p - near))

        return loss

    return {"model": net(4, 2), "loss_fn": centre(3), "x": data(6, 4), "y": tf.ones([6, 1])}


@mistake("untracked_variable", stray=("scale",))
def tf_variable_attribute_of_a_layer():
    class Scale(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.scale = tf.Variable(1.0, name="scale")  # HERE

        def call(self, x):
            return x * self.scale  # HERE

    model = keras.Sequential([keras.Input((4,)), Scale(), keras.layers.Dense(1, name="head")])
    return {"model": model, "loss_fn": "mse", "x": data(6, 4), "y": data(6, 1)}


@mistake("untracked_variable", stray=("w",))
def saved_model_as_an_attribute():
    inner = tf.Module()
    inner.w = tf.Variable(tf.ones([4, 3]), name="w")
    inner.call = tf.function(lambda x: tf.tanh(x @ inner.w), input_signature=[tf.TensorSpec([None, 4])])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(inner, folder)
        loaded = tf.saved_model.load(folder)

    class Tuned(keras.Model):
        def __init__(self):
            super().__init__()
            self.backbone = loaded
            self.head = keras.layers.Dense(1, name="head")

        def call(self, x):
            return self.head(self.backbone.call(x))  # HERE

    model = Tuned()
    return {"model": model, "loss_fn": "mse", "x": data(6, 4), "y": data(6, 1)}


@mistake("untracked_variable", stray=("kernel", "bias"))
def layers_in_a_dict_of_a_plain_object():
    class Heads:
        def __init__(self):
            self.by_name = {"a": keras.layers.Dense(1, name="a"), "b": keras.layers.Dense(1, name="b")}

    class Multi(keras.Model):
        def __init__(self):
            super().__init__()
            self.trunk = keras.layers.Dense(3, name="trunk")
            self.heads = Heads()

        def call(self, x):
            z = self.trunk(x)
            return self.heads.by_name["a"](z) + self.heads.by_name["b"](z)  # HERE

    return {"model": Multi(), "loss_fn": "mse", "x": data(6, 4), "y": data(6, 1)}


@mistake("untracked_variable", stray=("kernel",))
def lambda_calls_a_layer():
    inner = keras.layers.Dense(3, name="inner")  # HERE
    inner.build((None, 4))
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Lambda(lambda t: inner(t)), keras.layers.Dense(1, name="head")]  # HERE
    )
    return {"model": model, "loss_fn": "mse", "x": data(6, 4), "y": data(6, 1)}


@mistake("untracked_variable", stray=("prototypes",))
def module_level_parameter_of_a_metric_loss():
    class Proto(keras.losses.Loss):
        def __init__(self, n):
            super().__init__(name="proto")
            self.prototypes = keras.Variable(tf.ones([n, 2]) * 0.3, name="prototypes")  # HERE

        def call(self, y, p):
            d = tf.reduce_sum(tf.square(p[:, None] - self.prototypes[None]), -1)  # HERE
            return tf.reduce_min(d, -1)

    return {"model": net(4, 2), "loss_fn": Proto(3), "x": data(6, 4), "y": tf.ones([6, 1])}
