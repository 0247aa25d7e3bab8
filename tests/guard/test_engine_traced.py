"""`check_traced` and `explain_exception`: inside a traced step, on replicas, in mixed precision, with XLA, in loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.guard import MissingGradientError, check_traced, explain_exception

IMAGES = np.random.RandomState(0).rand(4, 8, 8, 1).astype("float32")
LABELS = np.random.RandomState(1).rand(4, 2).astype("float32")


def small_net():
    image = keras.Input((8, 8, 1))
    features = keras.layers.Conv2D(3, 3, activation="relu", name="conv")(image)
    features = keras.layers.BatchNormalization(name="norm")(features)
    features = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(features))
    return keras.Model(image, keras.layers.Dense(2, name="head")(features))


def squared_error(labels, outputs):
    return tf.reduce_mean(tf.square(tf.cast(labels, outputs.dtype) - outputs))


def rounded_error(labels, outputs):
    return squared_error(labels, tf.round(outputs))


def rounded_in_a_loop(labels, outputs):
    _, outputs = tf.while_loop(lambda i, _: i < 2, lambda i, state: (i + 1, tf.round(state * 4.0)), [0, outputs])
    return squared_error(labels, outputs)


def rounded_in_a_branch(labels, outputs):
    outputs = tf.cond(tf.reduce_sum(labels) > 0.0, lambda: tf.round(outputs), lambda: tf.floor(outputs))
    return squared_error(labels, outputs)


def rounded_in_map_fn(labels, outputs):
    return squared_error(labels, tf.map_fn(tf.round, outputs))


def thresholded_over_lines(labels, outputs):
    if tf.reduce_sum(labels) > 1e9:  # AutoGraph rewrites it, and keeps one line of a statement
        labels = labels * 2.0
    return tf.reduce_mean(
        tf.square(
            tf.cast(
                outputs > 0.5,
                tf.float32,
            )
            - labels
        )
    )


@tf.function
def rounding_function(outputs):
    return tf.round(outputs)


def rounded_in_a_function(labels, outputs):
    return squared_error(labels, rounding_function(outputs))


def loop_that_learns(labels, outputs):
    _, outputs = tf.while_loop(lambda i, _: i < 2, lambda i, state: (i + 1, tf.tanh(state)), [0, outputs])
    return squared_error(labels, outputs)


def trace_step(model, loss_fn, *, guard=True, xla=False, **options):
    """Traces a step; the graph and the report of the guard."""
    reports = []

    @tf.function(jit_compile=xla)
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = loss_fn(labels, model(images, training=True))
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        if guard:
            watched = tape.watched_variables()
            reports.append(check_traced(loss, model.trainable_variables, gradients, watched=watched, **options))
        return [gradient for gradient in gradients if gradient is not None]

    graph = step.get_concrete_function(tf.constant(IMAGES), tf.constant(LABELS)).graph
    return graph, reports[0] if reports else None


def ops_of(graph):
    return [(op.type, op.name, [tensor.name for tensor in op.inputs]) for op in graph.get_operations()]


@pytest.mark.parametrize("loss_fn", [squared_error, loop_that_learns])
def test_a_healthy_step_has_the_same_graph_with_and_without_the_guard(loss_fn):
    model = small_net()
    guarded, report = trace_step(model, loss_fn)
    assert report.ok and report.variables_total == 6
    bare, _ = trace_step(model, loss_fn, guard=False)
    # branches and loops are named by a counter of the process, so it is the ops that are compared
    assert [op[0] for op in ops_of(guarded)] == [op[0] for op in ops_of(bare)]
    if loss_fn is squared_error:
        assert ops_of(guarded) == ops_of(bare)


@pytest.mark.parametrize("xla", [False, True])
def test_a_cut_is_named_with_its_line_before_the_first_step(xla):
    with pytest.raises(MissingGradientError) as caught:
        trace_step(small_net(), rounded_error, xla=xla)
    (finding,) = caught.value.report.findings
    assert (finding.kind, finding.cause, finding.op_type) == ("missing", "non_differentiable_op", "Round")
    assert finding.file == __file__ and finding.code == "return squared_error(labels, tf.round(outputs))"
    assert len(finding.variables) == 6


def test_the_line_of_a_statement_over_several_lines_is_the_ops_own():
    _, report = trace_step(small_net(), thresholded_over_lines, missing="warn")
    (finding,) = report.findings
    assert (finding.op_type, finding.code) == ("Greater", "outputs > 0.5,")
    assert finding.chain[0].code == "tf.cast("


@pytest.mark.parametrize("loss_fn", [rounded_in_a_loop, rounded_in_a_branch, rounded_in_map_fn, rounded_in_a_function])
def test_a_cut_inside_a_body_is_found_although_tensorflow_answers_zeros(loss_fn):
    _, report = trace_step(small_net(), loss_fn, missing="warn")
    assert {path for finding in report.findings for path in finding.variables} == {
        "conv/kernel",
        "conv/bias",
        "norm/gamma",
        "norm/beta",
        "head/kernel",
        "head/bias",
    }
    assert {finding.cause for finding in report.findings} == {"non_differentiable_op"}
    assert "Round" in {finding.op_type for finding in report.findings}
    assert all(finding.file == __file__ for finding in report.findings)


def test_replicas_and_mixed_precision_get_the_same_answer(logical_devices):
    keras.mixed_precision.set_global_policy("mixed_float16")
    strategy = tf.distribute.MirroredStrategy(logical_devices[:2])
    with strategy.scope():
        model = small_net()
    reports = []

    def trace(loss_fn):
        def replica(images, labels):
            with tf.GradientTape() as tape:
                loss = tf.cast(loss_fn(labels, model(images, training=True)), tf.float32) * 1024.0
            gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
            reports.append(
                check_traced(
                    loss, model.trainable_variables, gradients, watched=tape.watched_variables(), missing="warn"
                )
            )
            return loss

        step = tf.function(lambda images, labels: strategy.run(replica, args=(images, labels)))
        step.get_concrete_function(tf.constant(IMAGES), tf.constant(LABELS))
        return [reports.pop() for _ in range(2)]

    assert all(report.ok for report in trace(squared_error))
    for report in trace(rounded_error):
        (finding,) = report.findings
        assert finding.op_type == "Round" and len(finding.variables) == 6 and finding.file == __file__


def test_what_is_allowed_passes_and_what_is_switched_off_is_not_looked_at():
    _, report = trace_step(small_net(), rounded_error, allow=[".*"])
    assert report.ok and len(report.allowed) == 6
    _, report = trace_step(small_net(), rounded_error, missing="off")
    assert report.ok
    with pytest.raises(ValueError, match="Received: missing='loud'"):
        trace_step(small_net(), rounded_error, missing="loud")


def test_unused_and_unlisted_variables_of_a_step():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = keras.layers.Dense(2, name="head")
            self.spare = keras.layers.Dense(2, name="spare")
            self.gain = tf.Variable(1.5, name="gain")
            self.frozen = keras.layers.Dense(64, name="frozen", trainable=False)

        def call(self, images):
            features = self.frozen(tf.reshape(images, [-1, 64]))
            self.spare(features)
            return self.head(features) * self.gain

    model = Net()
    model(IMAGES)
    _, report = trace_step(model, squared_error, missing="warn")
    assert [(f.kind, f.cause, f.variables) for f in report.findings] == [
        ("missing", "not_used", ("net/spare/kernel", "net/spare/bias")),
        ("untracked", "untracked_variable", ("gain:0",)),
    ]
    assert report.findings[1].code == "return self.head(features) * self.gain"


def test_an_op_without_a_registered_gradient_is_named_from_the_error():
    model = small_net()
    reports = []

    def forward_loss():
        pixels = tf.reshape(tf.tile(model(IMAGES), [1, 6]), [4, 2, 2, 3])
        return tf.reduce_mean(tf.image.adjust_saturation(pixels, 0.5))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = forward_loss()
        try:
            tape.gradient(loss, model.trainable_variables)
        except LookupError as error:
            reports.append(explain_exception(error, forward_loss, model.trainable_variables))

    step.get_concrete_function()
    (finding,) = reports[0].findings
    assert (finding.cause, finding.op_type) == ("non_differentiable_op", "AdjustSaturation")
    assert finding.code == "return tf.reduce_mean(tf.image.adjust_saturation(pixels, 0.5))"
    assert len(finding.variables) == 6


def test_numpy_in_a_graph_is_named_from_the_error_and_other_errors_are_left_alone():
    weight = tf.Variable([1.0, 2.0], name="weight")

    @tf.function
    def step():
        return tf.reduce_sum(np.exp(weight * 2.0))

    with pytest.raises(Exception) as caught:
        step()
    (finding,) = explain_exception(caught.value, None, [weight]).findings
    assert finding.cause == "left_tensorflow" and finding.code == "return tf.reduce_sum(np.exp(weight * 2.0))"
    assert explain_exception(ZeroDivisionError("division by zero"), None, [weight]) is None
