"""A loss with a threshold in it, and what the guard says: `python cut_gradient.py`, with gradline-guard installed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gradline_guard
import keras
import numpy as np
import tensorflow as tf


def hard_dice(y_true, y_pred):
    mask = tf.cast(y_pred > 0.5, tf.float32)  # a step: its slope is zero everywhere
    return 1.0 - 2.0 * tf.reduce_sum(mask * y_true) / (tf.reduce_sum(mask) + tf.reduce_sum(y_true))


def soft_dice(y_true, y_pred):
    return 1.0 - 2.0 * tf.reduce_sum(y_pred * y_true) / (tf.reduce_sum(y_pred) + tf.reduce_sum(y_true))


def main() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.Conv2D(1, 1, activation="sigmoid"),
        ]
    )
    draw = np.random.default_rng(0)
    images = draw.random((4, 8, 8, 1), "float32")
    masks = (images > 0.5).astype("float32")

    report = gradline_guard.explain_model(model, hard_dice, images, masks)
    print(report)
    finding = report.findings[0]
    if finding.op_type != "Greater" or not finding.code.startswith("mask = tf.cast(y_pred > 0.5, tf.float32)"):
        raise SystemExit(f"another op or line is blamed: {finding}")

    report = gradline_guard.explain_model(model, soft_dice, images, masks)
    print(report)
    if not report.ok:
        raise SystemExit("a healthy loss is accused")

    model.compile("adam", loss=hard_dice)
    try:
        model.fit(images, masks, verbose=0, callbacks=[gradline_guard.GradientGuard()])
    except gradline_guard.MissingGradientError as error:
        print(f"fit stopped before its first step: {error.report.findings[0].cause}")
    else:
        raise SystemExit("fit went on")


if __name__ == "__main__":
    main()
