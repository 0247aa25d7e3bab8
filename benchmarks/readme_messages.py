"""Prints what README.md and docs/no-gradients.md quote: the messages for three classic mistakes.

    python -m benchmarks.readme_messages            # prints them
    python -m benchmarks.readme_messages --write    # puts each between its marks in the pages; a test holds them equal

Each mistake is written to a file of its own, imported, and given to `trainer.guard.explain_model` with a small Keras
model, as it would be used with `compile` and `fit`.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "no-gradients.md")

MISTAKES = {
    "threshold": """\
import tensorflow as tf


def dice_loss(y_true, y_pred):
    mask = tf.cast(y_pred > 0.5, tf.float32)
    overlap = tf.reduce_sum(y_true * mask)
    return 1.0 - 2.0 * overlap / (tf.reduce_sum(y_true) + tf.reduce_sum(mask))
""",
    "argmax": """\
import tensorflow as tf


def class_error(y_true, y_pred):
    ids = tf.argmax(y_pred, axis=-1)
    return tf.reduce_mean(tf.abs(tf.cast(ids, tf.float32) - y_true[..., 0]))
""",
    "stop_gradient": """\
import tensorflow as tf


def dice_loss(y_true, y_pred):
    overlap = tf.reduce_sum(y_true * y_pred)
    score = tf.stop_gradient(2.0 * overlap / (tf.reduce_sum(y_true) + tf.reduce_sum(y_pred)))
    return 1.0 - score
""",
}


def messages() -> dict[str, str]:
    """Mistake -> what the page has between its two marks: the message as a block of text."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: f"\n```text\n{message(folder, f'my_loss_{number}', code)}\n```\n"
            for number, (name, code) in enumerate(MISTAKES.items())
        }


def marked(name: str) -> re.Pattern:
    """Matches (mark, what is between, mark) of a mistake in a page."""
    return re.compile(rf"(<!-- message: {name} -->)(.*?)(<!-- end of message -->)", re.DOTALL)


def message(folder: str, name: str, code: str) -> str:
    """What the guard says of a loss in `folder/name.py`, with the folder left out of the paths."""
    import keras
    import numpy as np

    from trainer.guard import explain_model

    path = os.path.join(folder, f"{name}.py")
    pathlib.Path(path).write_text(code, encoding="utf-8")
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
    blocks = messages()
    print(*blocks.values())
    if "--write" not in sys.argv:
        return
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, block in blocks.items():
            text = marked(name).sub(lambda match, block=block: match[1] + block + match[3], text)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
