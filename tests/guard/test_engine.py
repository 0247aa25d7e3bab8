"""The engine of the guard: which place is blamed, what is merged, and what is never blamed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.guard import MissingGradientError, check, explain

FEATURES = np.random.RandomState(0).rand(6, 4).astype("float32")
TARGETS = np.random.RandomState(1).rand(6, 2).astype("float32")


def two_layers(name="net"):
    return keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, "tanh", name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(2, name="head"),
        ],
        name=name,
    )


def squared_error(outputs):
    return tf.reduce_mean(tf.square(outputs - TARGETS))


def only(report):
    (finding,) = report.findings
    return finding


def test_the_way_with_the_fewest_cuts_is_blamed_and_not_a_side_path():
    model = two_layers()  # in training, batch normalisation has a stop_gradient of its own on a side path
    finding = only(explain(lambda: squared_error(tf.round(model(FEATURES, training=True))), model.trainable_variables))
    assert finding.op_type == "Round" and len(finding.variables) == 6
    assert [link.op_type for link in finding.chain] == ["Sub", "Square", "Mean"]


def test_two_cuts_in_a_row_are_both_named_the_nearest_to_the_variable_first():
    w = tf.Variable([1.0, 2.0], name="w")
    report = explain(lambda: tf.reduce_sum(tf.stop_gradient(tf.floor(w * 3.0))), [w])
    assert [finding.cause for finding in report.findings] == ["non_differentiable_op", "stop_gradient"]


def test_an_integer_has_no_gradient_left_to_lose():
    w = tf.Variable([[1.0, 2.0]], name="w")
    report = explain(
        lambda: tf.reduce_sum(
            tf.cast(tf.argmax(w, -1) + 1, tf.float32) * w[0, 0] * 0.0 + tf.cast(tf.argmax(w, -1), tf.float32)
        ),
        [w],
    )
    assert {finding.kind for finding in report.findings} == {"zero"}
    assert only(explain(lambda: tf.reduce_sum(tf.one_hot(tf.argmax(w, -1), 2)), [w])).op_type == "ArgMax"


def test_reading_only_the_shape_is_not_a_way_to_the_loss():
    model = two_layers()
    finding = only(explain(lambda: squared_error(tf.ones_like(model(FEATURES))), model.trainable_variables))
    assert finding.cause == "non_differentiable_op" and finding.op_type == "OnesLike"


def test_a_value_printed_is_not_blamed_for_a_head_that_is_dropped():
    model, spare = two_layers(), keras.layers.Dense(2, name="spare")
    spare.build((None, 2))

    def forward_loss():
        outputs = model(FEATURES)
        f"{float(tf.reduce_mean(spare(outputs))):.3f}"
        return squared_error(outputs * 2.0)

    finding = only(explain(forward_loss, model.trainable_variables + spare.trainable_variables))
    assert finding.cause == "not_used" and finding.variables == ("spare/kernel", "spare/bias")


def test_numpy_that_only_sees_a_tensor_beside_the_loss_is_healthy():
    model = two_layers()

    def forward_loss():
        outputs = model(FEATURES)
        np.mean(outputs), np.exp(outputs), outputs.numpy().tolist()
        return squared_error(np.float32(2.0) * outputs + np.ones(2, "float32"))

    assert explain(forward_loss, model.trainable_variables).ok


@pytest.mark.parametrize(
    ("way", "leave"),
    [
        (".numpy()", lambda t: t.numpy()),
        ("np.mean()", lambda t: np.mean(t, axis=0)),
        ("np.exp()", lambda t: np.exp(t)),
        ("np.asarray()", lambda t: np.asarray(t)),
        ("np.array()", lambda t: np.array(t) * 2.0),
        ("float()", lambda t: float(t[0, 0])),
    ],
)
def test_every_way_out_of_tensorflow_is_named(way, leave):
    w = tf.Variable(FEATURES, name="w")
    finding = only(explain(lambda: tf.reduce_sum(tf.constant(leave(w * 2.0))), [w]))
    assert finding.cause == "left_tensorflow" and way in finding.detail


def test_another_thread_has_no_tape():
    import threading

    model, results = two_layers(), []

    def forward_loss():
        thread = threading.Thread(target=lambda: results.append(model(FEATURES)))
        thread.start()
        thread.join()
        return squared_error(results[-1])

    finding = only(explain(forward_loss, model.trainable_variables))
    assert finding.cause == "outside_tape" and "another thread" in finding.detail


def test_the_none_of_an_inner_tape_is_explained_where_it_was_asked_for():
    model = two_layers()

    def forward_loss():
        images = tf.constant(FEATURES)
        with tf.GradientTape() as tape:
            score = tf.reduce_sum(model(images))
        return tf.reduce_mean(tape.gradient(score, images) ** 2)

    finding = only(explain(forward_loss, model.trainable_variables))
    assert finding.cause == "outside_tape" and "tape.watch" in finding.detail and "score, images" in finding.code


def test_a_function_whose_lines_are_lost_is_blamed_on_the_line_that_calls_it(tmp_path):
    class Floor(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([2], tf.float32)])
        def __call__(self, values):
            return tf.floor(values)

    tf.saved_model.save(Floor(), str(tmp_path))
    loaded, w = tf.saved_model.load(str(tmp_path)), tf.Variable([1.0, 2.0], name="w")
    finding = only(explain(lambda: tf.reduce_sum(loaded(w)), [w]))
    assert finding.op_type == "Floor" and "loaded(w)" in finding.code


def test_a_variable_of_a_branch_not_taken():
    w, v = tf.Variable(1.0, name="w"), tf.Variable(2.0, name="v")

    @tf.function
    def choose(flag):
        return tf.cond(flag, lambda: w * 2.0, lambda: v * 3.0)

    finding = only(explain(lambda: choose(tf.constant(True)), [w, v]))
    assert (finding.kind, finding.variables) == ("zero", ("v:0",)) and finding.op_type in ("If", "StatelessIf")


def test_saturated_ops_in_a_row_are_all_named_and_a_scale_that_starts_at_zero_is_not():
    w, scale = tf.Variable([-2.0, -3.0], name="w"), tf.Variable(0.0, name="scale")
    report = explain(lambda: tf.reduce_sum(tf.sign(tf.nn.relu(w))), [w])
    assert [finding.op_type for finding in report.findings] == ["Relu", "Sign"]
    assert explain(lambda: tf.reduce_sum(tf.tanh(w) * scale + scale), [w, scale]).ok


def test_nan_is_named_where_it_begins_on_the_way_forward_and_on_the_way_back():
    w = tf.Variable([0.0, 4.0], name="w")
    forward = only(explain(lambda: tf.reduce_sum(tf.math.log(w) * w), [w]))
    backward = only(explain(lambda: tf.reduce_sum(tf.sqrt(w)), [w]))
    assert (forward.op_type, backward.op_type) == ("Log", "Sqrt")
    assert "way forward" in forward.detail and "loss is finite" in backward.detail
    refused = only(explain(lambda: tf.reduce_sum(tf.linalg.inv(tf.stack([w, w]))), [w]))
    assert (refused.kind, refused.op_type) == ("nonfinite", "MatrixInverse")


def test_errors_that_are_no_matter_of_gradients_are_raised_as_they_are():
    w = tf.Variable([0.0, 4.0], name="w")
    with pytest.raises(ZeroDivisionError):
        explain(lambda: w / (1 // 0), [w])
    with pytest.raises(TypeError, match="explain\\(\\) takes a function without arguments"):
        explain(tf.reduce_sum(w), [w])
    with pytest.raises(TypeError, match="variables\\[1\\]='w'"):
        explain(lambda: tf.reduce_sum(w), [w, "w"])


def test_check_raises_warns_or_looks_away(capsys):
    model = two_layers()
    broken = lambda: squared_error(tf.round(model(FEATURES)))  # noqa: E731
    with pytest.raises(MissingGradientError, match="6 of 6 trainable variables get no gradient"):
        check(broken, model.trainable_variables)
    assert not check(broken, model.trainable_variables, missing="warn").ok
    assert "Round" in capsys.readouterr().err
    assert check(broken, model.trainable_variables, missing="off").ok
    assert check(broken, model.trainable_variables, allow=[".*"]).ok
