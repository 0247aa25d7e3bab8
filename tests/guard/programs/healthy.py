"""Healthy programs: whoever reports anything here is wrong. Some are dicts of the parts of `fit`."""

import keras
import tensorflow as tf

from .counts import data, net
from .expectation import healthy


def image_net(name, trainable=True):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, activation="tanh", padding="same", name=f"{name}_c")],
        name=name,
    )
    model.trainable = trainable
    return model


@healthy
def perceptual_loss_of_a_closure():
    features = image_net("vgg", trainable=False)
    model = image_net("painter")
    x = tf.reshape(data(2, 64), [2, 8, 8, 1])
    y = tf.repeat(x, 2, -1)

    def loss_fn(y_true, y_pred):
        a, b = features(y_pred[..., :1]), features(y_true[..., :1])
        return tf.reduce_mean(tf.square(a - b)) + tf.reduce_mean(tf.abs(y_pred - y_true))

    return {"model": model, "loss_fn": loss_fn, "x": x, "y": y}


@healthy
def perceptual_loss_of_a_trainable_network():
    features = image_net("vgg")
    model = image_net("painter")
    x = tf.reshape(data(2, 64), [2, 8, 8, 1])

    def loss_fn(y_true, y_pred):
        return tf.reduce_mean(tf.square(features(y_pred[..., :1]) - features(y_true[..., :1]))) + tf.reduce_mean(y_pred)

    return {"model": model, "loss_fn": loss_fn, "x": x, "y": tf.repeat(x, 2, -1)}


@healthy
def perceptual_loss_object():
    class Perceptual(keras.losses.Loss):
        def __init__(self):
            super().__init__()
            self.features = image_net("vgg")

        def call(self, y_true, y_pred):
            return tf.reduce_mean(
                tf.square(self.features(y_pred[..., :1]) - self.features(y_true[..., :1])), axis=[1, 2, 3]
            ) + tf.reduce_mean(y_pred, axis=[1, 2, 3])

    x = tf.reshape(data(2, 64), [2, 8, 8, 1])
    return {"model": image_net("painter"), "loss_fn": Perceptual(), "x": x, "y": tf.repeat(x, 2, -1)}


@healthy
def distiller_with_a_teacher_in_compute_loss():
    class Distiller(keras.Model):
        def __init__(self, student, teacher):
            super().__init__()
            self.student, self._soft = student, lambda x: tf.nn.softmax(teacher(x))

        def call(self, x, training=None):
            return self.student(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return tf.reduce_mean(keras.losses.categorical_crossentropy(self._soft(x), tf.nn.softmax(y_pred)))

    model = Distiller(net(4, 3), net(8, 3))
    return {"model": model, "loss_fn": "mse", "x": data(6, 4), "y": data(6, 3)}


@healthy
def teacher_as_a_plain_attribute():
    class Distiller(keras.Model):
        def __init__(self, student, teacher):
            super().__init__()
            self.student, self.teacher = student, teacher
            self.teacher.trainable = False

        def call(self, x, training=None):
            return self.student(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return tf.reduce_mean(tf.square(self.teacher(x) - y_pred))

    model = Distiller(net(4, 3), net(8, 3))
    return {"model": model, "loss_fn": "mse", "x": data(6, 4), "y": data(6, 3)}


@healthy
def gan_of_its_own():
    class Gan(keras.Model):
        def __init__(self):
            super().__init__()
            self.g, self.d = net(4, 4), net(4, 1)

        def compile(self, *args, **kwargs):
            super().compile(*args, **kwargs)
            self.g_opt, self.d_opt = keras.optimizers.Adam(), keras.optimizers.Adam()

        def train_step(self, batch):
            x, _ = batch
            bce = keras.losses.BinaryCrossentropy(from_logits=True)
            with tf.GradientTape() as tape:
                fake = self.g(x)
                d_loss = bce(tf.ones([6, 1]), self.d(x)) + bce(tf.zeros([6, 1]), self.d(fake))
            self.d_opt.apply_gradients(
                zip(tape.gradient(d_loss, self.d.trainable_weights), self.d.trainable_weights, strict=True)
            )
            with tf.GradientTape() as tape:
                g_loss = bce(tf.ones([6, 1]), self.d(self.g(x)))
            self.g_opt.apply_gradients(
                zip(tape.gradient(g_loss, self.g.trainable_weights), self.g.trainable_weights, strict=True)
            )
            return {"loss": d_loss + g_loss}

        def call(self, x):
            return self.d(self.g(x))

    return {"model": Gan(), "loss_fn": "mse", "x": data(6, 4), "y": data(6, 1), "own_step": True}


@healthy
def vae_with_its_own_step():
    class Vae(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = net(6, 4), net(6, 4, inputs=2)
            self.tracker = keras.metrics.Mean()

        def train_step(self, batch):
            x = batch[0] if isinstance(batch, tuple) else batch
            with tf.GradientTape() as tape:
                mean, log_var = tf.split(self.encoder(x), 2, -1)
                z = mean + tf.exp(0.5 * log_var) * tf.random.normal(tf.shape(mean))
                rebuilt = tf.reduce_mean(tf.square(self.decoder(z) - x))
                kl = -0.5 * tf.reduce_mean(1 + log_var - tf.square(mean) - tf.exp(log_var))
                loss = rebuilt + kl
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            self.tracker.update_state(loss)
            return {"loss": self.tracker.result()}

        def call(self, x):
            return self.decoder(self.encoder(x)[:, :2])

    return {"model": Vae(), "loss_fn": "mse", "x": data(6, 4), "y": data(6, 4), "own_step": True}


@healthy
def accumulating_step():
    class Accumulating(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = net(4, 1)
            self.inner.build((None, 4))
            self.sums = [tf.Variable(tf.zeros(v.shape), trainable=False) for v in self.inner.trainable_variables]

        def call(self, x):
            return self.inner(x)

        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
            for total, gradient in zip(self.sums, tape.gradient(loss, self.trainable_variables), strict=True):
                total.assign_add(gradient)
            self.optimizer.apply([tf.identity(s) for s in self.sums], self.trainable_variables)
            for total in self.sums:
                total.assign(tf.zeros_like(total))
            return {"loss": loss}

    return {"model": Accumulating(), "loss_fn": "mse", "x": data(6, 4), "y": data(6, 1), "own_step": True}


@healthy
def uncertainty_weights_tracked():
    class Weighted(keras.layers.Layer):
        def build(self, shape):
            self.log_vars = self.add_weight(shape=(2,), initializer="zeros", name="log_vars")

        def call(self, losses):
            return tf.reduce_sum(tf.exp(-self.log_vars) * tf.stack(losses) + self.log_vars)

    model, head, x, y = net(4, 2), Weighted(), data(6, 4), data(6, 2)
    head.build(None)

    def forward_loss():
        p = model(x)
        return head([tf.reduce_mean(tf.square(p - y)), tf.reduce_mean(tf.abs(p - y))])

    return forward_loss, model.trainable_variables + head.trainable_variables


@healthy
def shape_beside_the_values():
    model, x, y = net(4, 2), data(6, 4), data(6, 2)

    def forward_loss():
        p = model(x)
        n = tf.cast(tf.shape(p)[0] * tf.shape(p)[1], p.dtype)
        return tf.reduce_sum(tf.square(p - y)) / n + 0.0 * tf.reduce_sum(tf.zeros_like(p))

    return forward_loss, model.trainable_variables


@healthy
def kept_boxes_and_their_scores():
    model, x = net(4, 4), data(6, 4)
    boxes = tf.constant([[0, 0, i + 1, i + 1] for i in range(6)], tf.float32)

    def forward_loss():
        scores = tf.reduce_mean(model(x), -1)
        kept = tf.image.non_max_suppression(boxes, scores, 4, 0.5)
        return tf.reduce_mean(tf.square(tf.gather(scores, kept) - 1.0))

    return forward_loss, model.trainable_variables


@healthy
def metrics_beside_the_loss_in_a_function():
    model, x, y = net(4, 1, last="sigmoid"), data(6, 4), tf.constant([[0.0], [1.0]] * 3)
    iou, mean = keras.metrics.BinaryIoU(), keras.metrics.Mean()

    @tf.function
    def step():
        p = model(x, training=True)
        loss = keras.losses.BinaryCrossentropy()(y, p)
        iou.update_state(y, p)
        mean.update_state(loss)
        return loss + 0.0 * tf.stop_gradient(iou.result())

    return step, model.trainable_variables


@healthy
def physics_informed_tanh():
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(6, "tanh", name="hidden"), keras.layers.Dense(1, name="head")]
    )
    x = data(6, 1)

    def forward_loss():
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                u = model(x)
            du = inner.gradient(u, x)
        ddu = outer.gradient(du, x)
        return tf.reduce_mean(tf.square(ddu + u))

    return forward_loss, model.trainable_variables


@healthy
def double_where():
    model, x = net(4, 2, last="relu"), data(6, 4)

    def forward_loss():
        p = model(x)
        safe = tf.where(p > 0, p, 1.0)
        return tf.reduce_mean(tf.where(p > 0, tf.math.log(safe), 0.0)) + tf.reduce_mean(p)

    return forward_loss, model.trainable_variables


@healthy
def tf_layer_from_a_saved_model(tmp=None):
    import tempfile

    inner = tf.Module()
    inner.w = tf.Variable(tf.ones([4, 3]), name="w")
    inner.call = tf.function(lambda x: tf.tanh(x @ inner.w), input_signature=[tf.TensorSpec([None, 4])])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(inner, folder, signatures={"call": inner.call})
        layer = keras.layers.TFSMLayer(folder, call_endpoint="call")
    head, x = keras.layers.Dense(1, name="head"), data(6, 4)
    head.build((None, 3))

    def forward_loss():
        z = layer(x)
        z = next(iter(z.values())) if isinstance(z, dict) else z
        return tf.reduce_mean(tf.square(head(z) - 1.0))

    return forward_loss, head.trainable_variables


@healthy
def weight_clipping_and_ema():
    model, x, y = net(4, 1), data(6, 4), data(6, 1)
    model.build((None, 4))
    shadow = [tf.Variable(v, trainable=False) for v in model.trainable_variables]

    def forward_loss():
        for s, v in zip(shadow, model.trainable_variables, strict=True):
            s.assign(0.9 * s + 0.1 * v)
        return tf.reduce_mean(tf.square(model(x) - y))

    return forward_loss, model.trainable_variables


@healthy
def ragged_text():
    table = keras.layers.Embedding(9, 3, name="table")
    table.build()
    words = tf.ragged.constant([[1, 2, 3], [4], [5, 6]], dtype=tf.int32)

    def forward_loss():
        vectors = tf.ragged.map_flat_values(table, words)
        return tf.reduce_mean(tf.square(tf.reduce_mean(vectors, axis=1)))

    return forward_loss, table.trainable_variables


@healthy
def sparse_features():
    w = tf.Variable(tf.ones([5, 2]), name="w")
    features = tf.SparseTensor([[0, 1], [1, 3]], [1.0, 2.0], [2, 5])
    return (lambda: tf.reduce_mean(tf.square(tf.sparse.sparse_dense_matmul(features, w)))), [w]


@healthy
def lstm_with_state_in_a_loop():
    cell, head, x = keras.layers.LSTMCell(3), keras.layers.Dense(1, name="head"), data(6, 4)
    cell.build((None, 4))
    head.build((None, 3))

    @tf.function
    def forward_loss():
        state = [tf.zeros([6, 3]), tf.zeros([6, 3])]
        total = tf.constant(0.0)
        for _ in tf.range(3):
            out, state = cell(x, state)
            total += tf.reduce_mean(tf.square(head(out)))
        return total

    return forward_loss, cell.trainable_variables + head.trainable_variables


@healthy
def reinforce_with_a_sample():
    policy, x, reward = net(4, 3), data(6, 4), data(6, 1)

    def forward_loss():
        logits = policy(x)
        action = tf.random.categorical(logits, 1, seed=1)[:, 0]
        chosen = tf.reduce_sum(tf.nn.log_softmax(logits) * tf.one_hot(action, 3), -1)
        return -tf.reduce_mean(chosen * reward[:, 0])

    return forward_loss, policy.trainable_variables


@healthy
def softmax_over_one_unit_behind_a_cross_entropy():
    model, x, y = net(4, 1, last="sigmoid"), data(6, 4), tf.constant([[0.0], [1.0]] * 3)
    return {"model": model, "loss_fn": "binary_crossentropy", "x": x, "y": y}


@healthy
def loss_function_in_a_factory_with_constants():
    def weighted(weights):
        weights = tf.constant(weights, tf.float32)

        def loss(y, p):
            return tf.reduce_mean(weights * tf.square(y - p))

        return loss

    return {"model": net(4, 2), "loss_fn": weighted([1.0, 3.0]), "x": data(6, 4), "y": data(6, 2)}


@healthy
def recurrent_regression_fit():
    model = keras.Sequential([keras.Input((5, 2)), keras.layers.LSTM(3), keras.layers.Dense(1)])
    x = tf.reshape(data(6, 10), [6, 5, 2])
    return {"model": model, "loss_fn": keras.losses.Huber(), "x": x, "y": data(6, 1)}
