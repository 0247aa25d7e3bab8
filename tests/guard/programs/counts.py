"""A shape, a size or a count of things in place of the things; a metric object in place of a loss."""

import keras
import numpy as np
import tensorflow as tf

from .expectation import mistake

r = np.random.RandomState(3)


def net(*units, last=None, inputs=4):
    parts = [keras.layers.Dense(n, "tanh", name=f"hidden{i}") for i, n in enumerate(units[:-1])]
    return keras.Sequential([keras.Input((inputs,)), *parts, keras.layers.Dense(units[-1], last, name="head")])


def data(rows, columns):
    return tf.constant(r.rand(rows, columns), tf.float32)


@mistake("non_differentiable_op", ops=("NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5"), none="all")
def kept_boxes_counted():
    model, x, truth = net(8, 4), data(6, 4), 3.0
    boxes = tf.constant([[0, 0, i + 1, i + 1] for i in range(6)], tf.float32)

    def forward_loss():
        scores = tf.reduce_mean(model(x), -1)
        kept = tf.image.non_max_suppression(boxes, scores, 4, 0.5)  # HERE
        return tf.square(tf.cast(tf.shape(kept)[0], tf.float32) - truth)

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Where", "Greater"), none="all")
def detections_counted_by_where():
    model, x = net(8, 3, last="sigmoid"), data(6, 4)

    def forward_loss():
        found = tf.where(model(x) > 0.5)  # HERE
        return tf.abs(tf.cast(tf.shape(found)[0], tf.float32) - 5.0)

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Shape",), none="all")
def number_of_pixels():
    model, x = net(8, 3), data(6, 4)

    def forward_loss():
        y_pred = model(x)
        n = tf.cast(tf.reduce_prod(tf.shape(y_pred)), tf.float32)  # HERE
        return n / 100.0

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Greater", "Any", "Cast", "GreaterEqual"), none="all")
def count_nonzero_of_a_mask():
    model, x, y = net(8, 3, last="sigmoid"), data(6, 4), 7.0

    def forward_loss():
        n = tf.math.count_nonzero(model(x) > 0.5, dtype=tf.float32)  # HERE
        return tf.square(n - y)

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("NotEqual",), none="all")
def count_nonzero_of_values():
    model, x = net(8, 3, last="relu"), data(6, 4)

    def forward_loss():
        sparsity = tf.math.count_nonzero(model(x), dtype=tf.float32)  # HERE
        return sparsity / 18.0

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("ZerosLike",), none="all")
def zeros_like_by_keras_ops():
    model, x, y = net(8, 3), data(6, 4), data(6, 3)

    def forward_loss():
        target = keras.ops.zeros_like(model(x))  # HERE
        return keras.ops.mean(keras.ops.square(target - y))

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("OnesLike",), none="all")
def fool_the_discriminator_with_ones():
    generator, discriminator, z = net(4, 4), net(8, 1), data(6, 4)

    def forward_loss():
        verdict = discriminator(generator(z))
        fooled = tf.ones_like(verdict)  # HERE
        return keras.losses.BinaryCrossentropy(from_logits=True)(tf.ones([6, 1]), fooled)

    return forward_loss, generator.trainable_variables


@mistake("stateful_assign", "non_differentiable_op", "integer_cast", none="all")
def mean_iou_object():
    model, x, y = net(8, 2, last="sigmoid"), data(6, 4), tf.constant(r.randint(0, 2, (6, 2)))
    metric = keras.metrics.MeanIoU(num_classes=2)

    def forward_loss():
        return 1.0 - metric(y, tf.round(model(x)))  # HERE

    return forward_loss, model.trainable_variables


@mistake("stateful_assign", "non_differentiable_op", "integer_cast", none="all")
def dice_metric_updated_and_read():
    model, x, y = net(8, 1, last="sigmoid"), data(6, 4), tf.constant(r.randint(0, 2, (6, 1)))
    metric = keras.metrics.BinaryIoU(target_class_ids=[1])

    def loss_fn(y, p):
        metric.reset_state()
        metric.update_state(y, p)  # HERE
        return 1.0 - metric.result()  # HERE

    return (lambda: loss_fn(y, model(x))), model.trainable_variables


@mistake("stateful_assign", "non_differentiable_op", none="all")
def precision_object():
    model, x, y = net(8, 1, last="sigmoid"), data(6, 4), tf.constant(r.randint(0, 2, (6, 1)))
    metric = keras.metrics.Precision()

    def forward_loss():
        return -metric(y, model(x))  # HERE

    return forward_loss, model.trainable_variables


@mistake("stateful_assign", none="all")
def mean_metric_of_the_loss():
    model, x, y = net(8, 1), data(6, 4), data(6, 1)
    tracker = keras.metrics.Mean()

    def forward_loss():
        tracker.update_state(tf.square(model(x) - y))  # HERE
        return tracker.result()

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Greater", "Where", "Size", "GreaterEqual"), none="all")
def length_of_a_boolean_mask():
    model, x = net(8, 1, last="sigmoid"), data(6, 4)

    def forward_loss():
        p = model(x)[:, 0]
        confident = tf.boolean_mask(p, p > 0.6)  # HERE
        return tf.cast(tf.size(confident), tf.float32) / 6.0  # HERE

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Shape", "Size"), none="all")
def rows_of_a_ragged_tensor():
    model, x = net(8, 2), data(6, 4)

    def forward_loss():
        ragged = tf.RaggedTensor.from_row_lengths(model(x), [2, 3, 1])
        return tf.cast(tf.size(ragged.flat_values), tf.float32)  # HERE

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Greater", "GreaterEqual", "Where"), none="all")
def sparse_indices_of_the_prediction():
    model, x = net(8, 2), data(6, 4)

    def forward_loss():
        p = model(x)
        index = tf.where(p > 0.0)  # HERE
        sparse = tf.SparseTensor(index, tf.ones([tf.shape(index)[0]]), [6, 2])
        return tf.reduce_sum(tf.sparse.to_dense(sparse))

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("UniqueWithCounts", "Unique", "UniqueV2", "ArgMax"), none="all")
def number_of_classes_found():
    model, x = net(8, 3), data(6, 4)

    def forward_loss():
        ids = tf.argmax(model(x), -1)  # HERE
        values, _ = tf.unique(ids)
        return 3.0 - tf.cast(tf.size(values), tf.float32)

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("Where", "Greater"), none="all")
def numpy_style_len_of_where():
    model, x = net(8, 3), data(6, 4)

    def forward_loss():
        hits = tf.where(model(x) > 0.1)  # HERE
        return tf.constant(1.0) * float(len(hits))

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", "constant_loss", none="all")
def static_shape_of_the_prediction():
    model, x = net(8, 3), data(6, 4)

    def forward_loss():
        p = model(x)
        return tf.constant(p.shape[0] * p.shape[1], tf.float32)  # HERE

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", ops=("DenseBincount", "Bincount", "Cast", "ArgMax"), none="all")
def confusion_by_tf_math():
    model, x, y = net(8, 3), data(6, 4), tf.constant(r.randint(0, 3, 6))

    def forward_loss():
        ids = tf.argmax(model(x), -1)  # HERE
        matrix = tf.cast(tf.math.confusion_matrix(y, ids, 3), tf.float32)
        return 1.0 - tf.linalg.trace(matrix) / 6.0

    return forward_loss, model.trainable_variables


@mistake("non_differentiable_op", "integer_cast", ops=("HistogramFixedWidth", "Cast"), none="all")
def histogram_match():
    model, x = net(8, 3, last="sigmoid"), data(6, 4)

    def forward_loss():
        h = tf.histogram_fixed_width(model(x), [0.0, 1.0], nbins=4)  # HERE
        return tf.reduce_mean(tf.square(tf.cast(h, tf.float32) / 18.0 - 0.25))

    return forward_loss, model.trainable_variables
