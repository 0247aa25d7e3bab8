"""Prints what the README quotes: the messages for three classic mistakes.

    python -m benchmarks.readme_messages            # prints the section
    python -m benchmarks.readme_messages --write    # puts it into README.md; a test holds the two equal

Each mistake is written to a file of its own, imported, and given to `trainer.guard.explain_model` with a small Keras
model, as it would be used with `compile` and `fit`.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import sys
import tempfile

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- messages: python -m benchmarks.readme_messages -->", "<!-- end of messages -->"

MISTAKES = {
    "A Dice loss on a thresholded mask": '''\
import tensorflow as tf


def dice_loss(y_true, y_pred):
    mask = tf.cast(y_pred > 0.5, tf.float32)
    overlap = tf.reduce_sum(y_true * mask)
    return 1.0 - 2.0 * overlap / (tf.reduce_sum(y_true) + tf.reduce_sum(mask))
''',
    "A loss on class ids": '''\
import tensorflow as tf


def class_error(y_true, y_pred):
    ids = tf.argmax(y_pred, axis=-1)
    return tf.reduce_mean(tf.abs(tf.cast(ids, tf.float32) - y_true[..., 0]))
''',
    "A score that was detached": '''\
import tensorflow as tf


def dice_loss(y_true, y_pred):
    overlap = tf.reduce_sum(y_true * y_pred)
    score = tf.stop_gradient(2.0 * overlap / (tf.reduce_sum(y_true) + tf.reduce_sum(y_pred)))
    return 1.0 - score
''',
}


def section() -> str:
    """The README's section between its two marks, as markdown."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (title, code) in enumerate(MISTAKES.items()):
            parts.append(f"**{title}**\n\n```text\n{message(folder, f'my_loss_{number}', code)}\n```")
    return "\n\n".join([BEGIN, *parts, END])


def message(folder: str, name: str, code: str) -> str:
    """What the guard says of a loss in `folder/name.py`, with the folder left out of the paths."""
    import keras
    import numpy as np

    from trainer.guard import explain_model

    path = os.path.join(folder, f"{name}.py")
    pathlib.Path(path).write_text(code)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loss = next(value for key, value in vars(module).items() if callable(value) and key != "tf")
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="encoder"),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="decoder"),
            keras.layers.Conv2D(1, 1, activation="sigmoid", name="mask"),
        ]
    )
    draw = np.random.default_rng(0)
    x, y = draw.random((2, 16, 16, 1), "float32"), (draw.random((2, 16, 16, 1)) > 0.5).astype("float32")
    return str(explain_model(model, loss, x, y)).replace(folder + os.sep, "").strip()


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    text = section()
    if "--write" not in sys.argv:
        print(text)
        return
    before = README.read_text(encoding="utf-8")
    head, rest = before.split(BEGIN)
    README.write_text(head + text + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
