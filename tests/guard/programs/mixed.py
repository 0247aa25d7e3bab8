"""Mistakes of all causes in other dress: classes, branches, loops, ragged and sparse tensors, GANs, loaded models."""

import tempfile

import keras
import numpy as np
import tensorflow as tf

from .counts import data, net
from .expectation import mistake


@mistake("non_differentiable_op", ops=("Greater",), none="all")
def gate_steers_a_cond():
    gate, x = net(4, 1), data(6, 4)

    def forward_loss():
        return tf.cond(
            tf.reduce_mean(gate(x)) > 0.0,  # HERE
            lambda: tf.constant(1.0),
            lambda: tf.constant(2.0),
        )

    return forward_loss, gate.trainable_variables


@mistake("integer_cast", none="all")
def counter_in_a_while_loop():
    w = tf.Variable([1.5, 2.5], name="w")

    @tf.function
    def forward_loss():
        total = tf.constant(0.0)
        for value in tf.unstack(w):
            total += tf.cast(tf.cast(value * 2.0, tf.int32), tf.float32)  # HERE
        return total

    return forward_loss, [w]


@mistake("non_differentiable_op", none="all")
def lengths_of_ragged_rows():
    model, x = net(4, 3, last="relu"), data(6, 4)

    def forward_loss():
        ragged = tf.RaggedTensor.from_tensor(model(x), padding=0.0)  # HERE
        return tf.reduce_mean(tf.cast(ragged.row_lengths(), tf.float32))

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", none="all")
def sparse_from_dense_indices():
    model, x = net(4, 3), data(6, 4)

    def forward_loss():
        sparse = tf.sparse.from_dense(model(x))  # HERE
        return tf.reduce_mean(tf.cast(sparse.indices, tf.float32))

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", none=("lstm_one",))
def lstm_state_through_numpy():
    one = keras.layers.LSTM(3, return_state=True, name="lstm_one")
    two = keras.layers.LSTM(3, name="lstm_two")
    x = tf.reshape(data(2, 20), [2, 5, 4])
    one(x), two(x)

    def forward_loss():
        _, h, c = one(x)
        return tf.reduce_mean(two(x, initial_state=[h.numpy(), c.numpy()]))  # HERE

    return forward_loss, one.trainable_variables + two.trainable_variables


class Gan:
    """A trainer as people write it."""

    def __init__(self):
        self.generator, self.discriminator = net(4, 4), net(4, 1)
        self.noise = data(6, 4)
        self.fake = self.generator(self.noise)  # HERE

    def generator_loss(self):
        verdict = self.discriminator(self.fake)
        return keras.losses.BinaryCrossentropy(from_logits=True)(tf.ones_like(verdict), verdict)


@mistake("outside_tape", none="all")
def fake_images_made_in_the_constructor():
    gan = Gan()
    return gan.generator_loss, gan.generator.trainable_variables


@mistake("left_tensorflow", none=("encoder",))
def vae_samples_by_numpy():
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="encoder")])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, name="decoder")])
    x = data(6, 4)

    def forward_loss():
        mean, log_var = tf.split(encoder(x), 2, -1)
        z = np.random.normal(mean, np.exp(0.5 * log_var)).astype("float32")  # HERE
        return tf.reduce_mean(tf.square(decoder(z) - x))

    return forward_loss, encoder.trainable_variables + decoder.trainable_variables


@mistake("stateful_assign", none="all")
def loss_kept_in_a_variable_of_the_trainer():
    class Trainer:
        def __init__(self):
            self.model, self.total = net(4, 1), tf.Variable(0.0, trainable=False)
            self.x, self.y = data(6, 4), data(6, 1)

        def loss(self):
            self.total.assign(0.0)
            for a, b in zip(tf.split(self.x, 2), tf.split(self.y, 2), strict=True):
                self.total.assign_add(tf.reduce_mean(tf.square(self.model(a) - b)))  # HERE
            return self.total * 0.5

    trainer = Trainer()
    return trainer.loss, trainer.model.trainable_variables


@mistake("non_differentiable_op", ops=("Round",), none="all")
def keras_loss_of_rounded_predictions():
    model, x, y = net(4, 1), data(6, 4), data(6, 1)
    loss = keras.losses.MeanAbsoluteError()
    return (lambda: loss(y, keras.ops.round(model(x)))), model.trainable_variables  # HERE


@mistake("non_differentiable_op", ops=("Greater",), none=("hidden",))
def threshold_in_a_lambda_of_a_functional_model():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="hidden")(inputs)
    hard = keras.layers.Lambda(lambda t: tf.cast(t > 0.0, tf.float32))(hidden)  # HERE
    model, x = keras.Model(inputs, keras.layers.Dense(1, name="out")(hard)), data(6, 4)
    return (lambda: tf.reduce_mean(tf.square(model(x)))), model.trainable_variables


@mistake("stop_gradient", none=("backbone",))
def stop_gradient_in_the_call_of_a_block():
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.backbone = keras.layers.Dense(3, name="backbone")
            self.head = keras.layers.Dense(1, name="head")

        def call(self, x):
            features = keras.ops.stop_gradient(self.backbone(x))  # HERE
            return self.head(features)

    block, x = Block(), data(6, 4)
    block(x)
    return (lambda: tf.reduce_mean(block(x) ** 2)), block.trainable_variables


@mistake("variable_replaced", none="all")
def model_was_loaded_after_the_list():
    model = net(4, 1)
    variables = model.trainable_variables
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/m.keras")
        model = keras.models.load_model(f"{folder}/m.keras")
    x = data(6, 4)
    return (lambda: tf.reduce_mean(model(x) ** 2)), variables


@mistake("not_trainable", none=("moving",))
def all_variables_of_a_batch_norm():
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)])
    x = data(6, 4)
    return (lambda: tf.reduce_mean(tf.square(model(x, training=True) - 1.0))), model.variables


@mistake("non_differentiable_op", ops=("ArgMax",), none=("assign",))
def segments_by_a_learned_assignment():
    assign = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="assign")])
    value = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="value")])
    x = data(6, 4)

    def forward_loss():
        ids = tf.argmax(assign(x), -1)  # HERE
        return tf.reduce_mean(tf.square(tf.math.unsorted_segment_sum(value(x), ids, 3)))

    return forward_loss, assign.trainable_variables + value.trainable_variables


@mistake("non_differentiable_op", none="all")
def action_by_keras_random():
    policy, x = net(4, 3), data(6, 4)

    def forward_loss():
        action = keras.random.categorical(policy(x), 1)  # HERE
        return tf.reduce_mean(tf.cast(action, tf.float32))

    return forward_loss, policy.trainable_variables


@mistake("non_differentiable_op", "integer_cast", none="all")
def predictions_as_uint8_images():
    model, x = net(4, 3, last="sigmoid"), data(6, 4)

    def forward_loss():
        image = tf.image.convert_image_dtype(model(x), tf.uint8)  # HERE
        return tf.reduce_mean(tf.cast(image, tf.float32) / 255.0)

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Log", "Log1p"), nan="all")
def log_of_one_minus_p():
    model = net(4, 1)
    x = tf.ones([4, 4])
    model.layers[-1].bias.assign([60.0])

    def forward_loss():
        p = tf.sigmoid(model(x))
        return -tf.reduce_mean(tf.math.log(1.0 - p)) - tf.reduce_mean(model(x))  # HERE

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("RealDiv", "Sqrt", "Rsqrt"), nan="all")
def cosine_of_a_zero_vector():
    model, x = net(4, 3, last="relu"), tf.zeros([2, 4])

    def forward_loss():
        a = model(x)
        b = tf.ones([2, 3])
        cosine = tf.reduce_sum(a * b, -1) / (tf.norm(a, axis=-1) * tf.norm(b, axis=-1))  # HERE
        return 1.0 - tf.reduce_mean(cosine)

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Sqrt",), nan=("hidden", "head"))
def rmse_of_a_perfect_fit():
    model, x = net(4, 1), data(6, 4)

    def forward_loss():
        p = model(x)
        return tf.sqrt(tf.reduce_mean(tf.square(p - tf.stop_gradient(p))))  # HERE

    return forward_loss, model.trainable_variables


@mistake("nan_gradient", ops=("Pow",), nan="all")
def gamma_correction_of_negative_values():
    model, x = net(4, 3), data(6, 4)

    def forward_loss():
        return tf.reduce_mean(tf.pow(model(x) - 5.0, 1.0 / 2.2))  # HERE

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("Relu", "Maximum"), zero="all")
def hinge_already_satisfied():
    model, x, y = net(4, 1), data(6, 4), tf.ones([6, 1])
    model.layers[-1].bias.assign([50.0])
    return (lambda: tf.reduce_mean(tf.maximum(0.0, 1.0 - y * model(x)))), model.trainable_variables  # HERE


@mistake("zero_gradient", ops=("Minimum", "ClipByValue", "Maximum"), zero="all")
def clipped_logits():
    model, x, y = net(4, 1), data(6, 4) * 1000.0, tf.ones([6, 1])
    model.layers[-1].bias.assign([900.0])

    def forward_loss():
        logits = keras.ops.clip(model(x), -10.0, 10.0)  # HERE
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, logits))

    return forward_loss, model.trainable_variables


@mistake("zero_gradient", ops=("Mul",), zero="all")
def dropout_mask_of_zeros():
    model, x = net(4, 2), data(6, 4)
    keep = tf.zeros([6, 2])
    return (lambda: tf.reduce_mean(keras.ops.multiply(model(x), keep))), model.trainable_variables  # HERE


@mistake("untracked_variable", stray=("kernel",))
def layers_made_inside_a_list_comprehension_of_a_tuple():
    class Stack(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = {"inner": _Holder([keras.layers.Dense(4, name=f"b{i}") for i in range(2)])}
            self.head = keras.layers.Dense(1, name="head")

        def call(self, x):
            for layer in self.blocks["inner"].layers:
                x = layer(x)  # HERE
            return self.head(x)

    model, x = Stack(), data(6, 4)
    model(x)
    return (lambda: tf.reduce_mean(model(x) ** 2)), model.trainable_variables


class _Holder:
    def __init__(self, layers):
        self.layers = layers


@mistake("constant_loss", none="all")
def labels_on_both_sides_of_a_keras_loss():
    model, x, y = net(4, 1), data(6, 4), data(6, 1)

    def forward_loss():
        model(x, training=True)
        return keras.losses.MeanSquaredError()(y, y)  # HERE

    return forward_loss, model.trainable_variables


@mistake("not_used", none=("head_b",))
def second_head_without_a_term():
    inputs = keras.Input((4,))
    trunk = keras.layers.Dense(3, "tanh", name="trunk")(inputs)
    outputs = {"a": keras.layers.Dense(1, name="head_a")(trunk), "b": keras.layers.Dense(2, name="head_b")(trunk)}
    model, x, y = keras.Model(inputs, outputs), data(6, 4), data(6, 1)
    return (lambda: tf.reduce_mean(tf.square(model(x)["a"] - y))), model.trainable_variables


@mistake("custom_gradient_none", none=("hidden", "head"))
def gradient_reversal_that_forgets_to_return():
    @tf.custom_gradient
    def reverse(t):
        def grad(upstream):
            -upstream  # noqa: B018  # HERE

        return tf.identity(t), grad

    model, x = net(4, 2), data(6, 4)
    return (lambda: tf.reduce_mean(reverse(model(x)))), model.trainable_variables  # HERE


@mistake("left_tensorflow", none="all")
def iou_by_numpy_boxes():
    model, x = net(4, 4), data(6, 4)
    truth = np.random.RandomState(5).rand(6, 4).astype("float32")

    def iou(a, b):
        low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])  # HERE
        return np.prod(np.clip(high - low, 0, None), -1)

    return (lambda: 1.0 - tf.reduce_mean(iou(model(x), truth))), model.trainable_variables


@mistake("non_differentiable_op", ops=("FloorDiv", "Floor"), none="all")
def bins_by_floor_division():
    model, x = net(4, 2), data(6, 4)

    def forward_loss():
        bins = keras.ops.floor(model(x) / 0.25)  # HERE
        return keras.ops.mean(bins * 0.25)

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Equal", "ArgMax"), none="all")
def accuracy_by_keras_ops():
    model, x, y = net(4, 3), data(6, 4), tf.constant([0, 1, 2, 0, 1, 2])

    def forward_loss():
        ids = keras.ops.argmax(model(x), axis=-1)  # HERE
        return 1.0 - keras.ops.mean(keras.ops.cast(keras.ops.equal(ids, y), "float32"))  # HERE

    return forward_loss, model.trainable_variables
