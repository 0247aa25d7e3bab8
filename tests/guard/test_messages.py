"""The text of the message for each mechanism: what must be in it, and what must not."""

import pathlib

import pytest

from tests.guard.test_cases import loaded
from trainer.guard import MissingGradientError, check, explain

CASES = pathlib.Path(__file__).parent / "cases"

MESSAGES = {
    "case_jaccard_of_a_thresholded_mask": (
        [
            "4 of 4 trainable variables get no gradient from this loss.",
            "A comparison (GreaterEqual) has no gradient: its answer is only true or false — 4 variables:",
            "enc: kernel, bias",
            "> 17 |     mask = tf.cast(tf.math.greater_equal(y_pred, 0.5), tf.float32)  # HERE",
            "-> loss",
            "Use the probability itself in the loss; keep the threshold for the metric.",
            "Tried on this batch: with this in its place these variables get a gradient.",
            "mask = y_pred",
        ],
        ["allow=", "zero", "NaN"],
    ),
    "case_argmax_before_crossentropy": (
        ["(ArgMax) has no gradient", "ids = tf.tensordot(tf.nn.softmax(y_pred, axis=-1)", "Keep argmax for the metric"],
        ["threshold"],
    ),
    "case_round_in_keras_ops_layer": (
        [
            "2 of 4 trainable variables get no gradient from this loss.",
            "Rounding (Round) has no gradient",
            "before: kernel, bias",
            "let the gradient pass as if nothing had been rounded",
            "return ((x * 4.0) + keras.ops.stop_gradient(keras.ops.round(x * 4.0) - (x * 4.0))) / 4.0",
            "explain(…, allow=['sequential/before/.*'])",
        ],
        ["after: kernel"],
    ),
    "case_prediction_cast_to_label_type": (
        ["A cast to integers has no gradient", "cast the labels", "y_true = tf.cast(y_true, y_pred.dtype)"],
        ["NumPy"],
    ),
    "case_numpy_mean_of_a_tensor": (
        ["leaves TensorFlow", "np.mean(error, axis=0)", "np.mean  ->  tf.reduce_mean"],
        ["softmax", "allow="],
    ),
    "case_numpy_function_median_filter": (
        ["2 of 6 trainable variables", "A Python function (PyFunc) leaves TensorFlow", "mask_head: kernel, bias"],
        ["trunk", "class_head: kernel"],
    ),
    "case_loss_computed_before_the_lambda": (
        ["1 of 1 trainable variable gets no gradient", "outside the tape", "with tf.GradientTape() as tape:"],
        ["NumPy", "not trainable"],
    ),
    "case_pooler_never_used": (
        ["2 of 7 trainable variables", "The loss does not use them", "pooler: kernel, bias", "pooler/.*'"],
        ["layer0", "embed"],
    ),
    "case_add_weight_not_trainable": (
        ["1 of 3 trainable variables", "It is not trainable", "scale", "trainable = True"],
        ["out: kernel"],
    ),
    "case_list_asked_for_before_building": (
        ["The list of variables is empty: everything is frozen, or it was made before the model was built."],
        ["0 of 0", "get no gradient"],
    ),
    "case_tf_module_inside_a_layer": (
        [
            "1 trainable variable is read by the loss and is not in the list of variables",
            "no layer tracks it",
            "rotation",
            "return tf.matmul(x, self.matrix)",
            "self.add_weight",
        ],
        ["get no gradient", "allow="],
    ),
    "case_clone_is_called_instead": (
        ["Another variable has taken their place", "Ask for the list again"],
        ["NumPy", "allow="],
    ),
    "case_prediction_overwritten_by_the_label": (
        ["The loss does not depend on the model", "labels on both sides", "loss = loss_fn(labels, model(images"],
        ["allow="],
    ),
    "case_custom_gradient_none_for_one_input": (
        ["1 of 2 trainable variables", "A custom gradient function answers None", "right", "return upstream * slope"],
        ["left:"],
    ),
    "case_metric_result_as_loss": (
        ["written to a variable by assign and read back", "mean.update_state(", "self.memory.assign(new)"],
        ["NumPy"],
    ),
    "case_stop_gradient_around_dice": (
        [
            "2 of 2 trainable variables get no gradient",
            "tf.stop_gradient cuts the gradient",
            "return 1.0 - tf.stop_gradient(score)  # HERE",
            "             ^^^^^^^^^^^^^^^^^^^^^^^",
            "return 1.0 - score",
        ],
        ["allow="],
    ),
    "zero_margin_already_satisfied": (
        [
            "1 of 1 trainable variable gets a gradient that is exactly zero.",
            "The gradient becomes exactly zero at Maximum",
            "tf.maximum(gap + 0.2, 0.0)",
        ],
        ["no gradient", "NaN"],
    ),
    "zero_softmax_over_one_class": (["exactly zero at Softmax", "activation='sigmoid'"], ["no gradient"]),
    "nan_log_of_zero": (
        [
            "2 of 2 trainable variables get a gradient that is NaN or infinite.",
            "first appears at Log",
            "keep its argument away from zero",
        ],
        ["allow=", "no gradient"],
    ),
    "nan_distance_of_equal_points": (
        [
            "1 of 2 trainable variables",
            "Sqrt",
            "tf.sqrt(tf.reduce_sum(tf.square((a - b) @ w), axis=-1) + 1e-12)",
        ],
        ["bias"],
    ),
    "raise_lu_decomposition": (
        ["Lu has no gradient", "weight", "tf.linalg.lu(weight)"],
        ["head:0", "has no gradient:"],
    ),
    "case_two_cuts_in_two_branches": (
        [
            "4 of 8 trainable variables",
            "1. ",
            "2. ",
            "(Round) has no gradient",
            "tf.stop_gradient cuts",
            "mask: kernel",
        ],
        ["3. ", "box: kernel", "trunk: kernel"],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_message(name):
    must, must_not = MESSAGES[name]
    forward_loss, variables = loaded(CASES / f"{name}.py").build()
    report = explain(forward_loss, variables)
    text = str(report)
    flat = " ".join(text.split())
    for words in must:
        assert words in text or " ".join(words.split()) in flat, f"lacks {words!r}:\n{text}"
    about_code = {line for line in text.splitlines() if " | " in line}  # the user's own lines may hold any word
    words_of_ours = "\n".join(line for line in text.splitlines() if line not in about_code)
    for words in must_not:
        assert words not in words_of_ours, f"must not say {words!r}:\n{text}"


def test_check_raises_with_the_same_text_and_allows():
    forward_loss, variables = loaded(CASES / "case_pooler_never_used.py").build()
    with pytest.raises(MissingGradientError) as caught:
        check(forward_loss, variables)
    assert str(caught.value).strip() == str(caught.value.report)
    pattern = str(caught.value).split("check(…, allow=['")[1].split("'")[0]
    assert check(forward_loss, variables, allow=[pattern]).ok


def test_warn_prints_and_goes_on(capsys):
    forward_loss, variables = loaded(CASES / "case_stop_gradient_around_dice.py").build()
    report = check(forward_loss, variables, missing="warn")
    assert not report.ok and "tf.stop_gradient cuts the gradient" in capsys.readouterr().err


def test_no_message_names_the_guards_own_files():
    for name in ("zero_softmax_over_one_class", "zero_dead_relu", "nan_data_contains_nan"):
        forward_loss, variables = loaded(CASES / f"{name}.py").build()
        for finding in explain(forward_loss, variables).findings:
            assert finding.file is None or pathlib.Path(finding.file).stem == name
