"""The model as a SavedModel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.export.serving_function import Sizes, serving_function
from trainer.reporting.tensorflow_messages import without_chatter

Predictor = Callable[[np.ndarray], dict[str, np.ndarray]]


def write_saved_model(parts: Sequence, serve, spec: tf.TensorSpec, path: str) -> None:
    """A SavedModel with the endpoint `serve` of one tensor; `parts` are the models and variables that it uses."""
    archive = keras.export.ExportArchive()
    for part in parts:
        archive.track(part)
    archive.add_endpoint("serve", serve, input_signature=[spec])
    with without_chatter():
        archive.write_out(path, verbose=False)


def saved_model(model, config: Config, path: str, sizes: Sizes) -> Predictor:
    spec = tf.TensorSpec([None, *sizes.free, config.data.channels], sizes.dtype, name="image")
    serve = serving_function(model, config, sizes)

    def checked(image):
        # Signatures of a SavedModel do not check ranks: an image without a batch would fail somewhere inside.
        return serve(tf.ensure_shape(image, spec.shape, name="image_is_batch_height_width_channels"))

    write_saved_model([model], checked, spec, path)
    loaded = tf.saved_model.load(path)
    return lambda image: {name: value.numpy() for name, value in loaded.serve(tf.constant(image)).items()}
