"""Models called where TensorFlow does not look: in NumPy functions, data sets, other threads, `predict`."""

import threading

import keras
import numpy as np
import tensorflow as tf

from .counts import data, net
from .expectation import mistake


@mistake("left_tensorflow", none="all")
def predict_on_batch():
    model, x, y = net(8, 2), data(6, 4), data(6, 2)

    def forward_loss():
        p = model.predict_on_batch(x)  # HERE
        return tf.reduce_mean(tf.square(p - y))

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", none="all")
def predict_in_a_helper():
    model, x, y = net(8, 2), data(6, 4), data(6, 2)

    def features(batch):
        return model.predict(batch, verbose=0)  # HERE

    def forward_loss():
        return keras.losses.MeanSquaredError()(y, tf.convert_to_tensor(features(x)))

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", none="all")
def numpy_function_calls_the_model():
    model, y = net(8, 2), data(6, 2)
    images = np.random.RandomState(0).rand(6, 4).astype("float32")

    def run():
        return model(images).numpy()

    def forward_loss():
        p = tf.numpy_function(run, [], tf.float32)  # HERE
        return tf.reduce_mean(tf.square(p - y))

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", none="all")
def py_function_takes_only_the_index():
    model, y, x = net(8, 2), data(6, 2), data(6, 4)

    def row(i):
        return model(x[i : i + 1])[0]

    def forward_loss():
        rows = [tf.py_function(row, [tf.constant(i)], tf.float32) for i in range(6)]  # HERE
        return tf.reduce_mean(tf.square(tf.stack(rows) - y))

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", "outside_tape", none=("hidden", "head"))
def embedding_in_dataset_map():
    encoder, y = net(8, 3), data(6, 1)
    x = data(6, 4)
    ds = tf.data.Dataset.from_tensor_slices(x).batch(6).map(lambda b: encoder(b))  # HERE

    def forward_loss():
        return tf.add_n([tf.reduce_mean(tf.square(z - y[:, :1])) for z in ds])

    return forward_loss, encoder.trainable_variables


@mistake("left_tensorflow", none="all")
def dataset_map_inside_the_loss():
    encoder, y = net(8, 1), data(6, 1)
    x = data(6, 4)

    def forward_loss():
        ds = tf.data.Dataset.from_tensor_slices(x).map(lambda row: encoder(row[None])[0])  # HERE
        total = 0.0
        for i, z in enumerate(ds):
            total += tf.reduce_mean(tf.square(z - y[i]))
        return total

    return forward_loss, encoder.trainable_variables


@mistake("left_tensorflow", none="all")
def dataset_filter_and_batch_of_predictions():
    encoder, x = net(8, 1), data(6, 4)
    ds = tf.data.Dataset.from_tensor_slices(x).batch(2).map(encoder).unbatch().batch(3).prefetch(1)  # HERE

    def forward_loss():
        return tf.reduce_mean(tf.concat(list(ds), 0))

    return forward_loss, encoder.trainable_variables


@mistake("outside_tape", none="all")
def forward_pass_in_a_thread():
    model, x, y = net(8, 1), data(6, 4), data(6, 1)

    def forward_loss():
        out = []
        worker = threading.Thread(target=lambda: out.append(model(x)))  # HERE
        worker.start()
        worker.join()
        return tf.reduce_mean(tf.square(out[0] - y))

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", none=("encoder",))
def numpy_between_two_models():
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="encoder")])
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="decoder")])
    x = data(6, 4)

    def forward_loss():
        code = encoder(x).numpy()  # HERE
        code = (code - code.mean()) / code.std()
        return tf.reduce_mean(tf.square(decoder(code) - x))

    return forward_loss, encoder.trainable_variables + decoder.trainable_variables


@mistake("left_tensorflow", none="all")
def list_of_floats():
    model, x, y = net(8, 1), data(6, 4), data(6, 1)

    def forward_loss():
        errors = [float(tf.abs(p - t)[0]) for p, t in zip(model(x), y, strict=True)]  # HERE
        return tf.reduce_mean(errors)

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", none="all")
def np_log_of_a_softmax():
    model, x, y = net(8, 3, last="softmax"), data(6, 4), tf.one_hot([0, 1, 2, 0, 1, 2], 3)

    def forward_loss():
        return -tf.reduce_mean(y * np.log(model(x)))  # HERE

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", none="all")
def tolist_and_back():
    model, x = net(8, 2), data(6, 4)

    def forward_loss():
        values = model(x).numpy().tolist()  # HERE
        return tf.reduce_sum(tf.constant(values) ** 2)

    return forward_loss, model.trainable_variables


@mistake("left_tensorflow", none="all")
def keras_ops_convert_to_numpy_then_back():
    model, x, y = net(8, 2), data(6, 4), data(6, 2)

    def forward_loss():
        p = keras.ops.convert_to_numpy(model(x))  # HERE
        return keras.ops.mean(keras.ops.square(keras.ops.convert_to_tensor(p) - y))

    return forward_loss, model.trainable_variables
