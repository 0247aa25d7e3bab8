"""The model as a LiteRT file, in single or half precision or in integers of 8 bits."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from configs.schema import Config
from trainer.data.source import DataSets
from trainer.errors import UserError
from trainer.export.comparison import calibration
from trainer.export.errors import ExportError, not_converted
from trainer.export.saved_model import Predictor, write_saved_model
from trainer.export.serving_function import Sizes, outputs
from trainer.prediction.windows import main_logits
from trainer.reporting.tensorflow_messages import without_chatter

_POOLING_OF_VOLUMES = (keras.layers.MaxPooling3D, keras.layers.AveragePooling3D)


def litert(
    model, config: Config, path: str, sizes: Sizes, name: str = "litert", data: DataSets | None = None
) -> Predictor:
    check_litert(name, model.layers)
    # The converter needs static sizes: with dynamic ones, the U-Net's concatenations lose the number of channels.
    spec = tf.TensorSpec([1, *sizes.fixed, config.data.channels], sizes.dtype, name="image")

    def serve(image):
        return outputs(tf.cast(main_logits(model(tf.cast(image, tf.float32), training=False)), tf.float32), config)

    pictures = calibration(data, sizes.fixed) if name == "litert_int8" else ()
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model([model], serve, spec, folder)
        return write_litert(folder, path, model.layers, name, pictures)


def check_litert(name: str, layers: Sequence) -> None:
    """Reports in a sentence a fault for which the converter would need pages.

    Raises:
      ExportError: a layer pools along three axes, for which LiteRT has no operation.
    """
    pooling = [layer.name for layer in layers if isinstance(layer, _POOLING_OF_VOLUMES)]
    if pooling:
        raise ExportError(
            f"The model cannot be converted to {name}: LiteRT has no pooling along three axes, which the model does in "
            f"{', '.join(pooling)}.\n  saved_model and onnx take volumes."
        )


def write_litert(saved_model: str, path: str, layers: Sequence, name: str = "litert", pictures=()) -> Callable:
    """Converts a SavedModel of one endpoint and returns the function of the file, loaded again.

    Args:
      layers: those of the models, whose dtype an error names.
      name: the format's name.
      pictures: for litert_int8, to calibrate the ranges of integers.

    Raises:
      ExportError: it cannot be converted.
    """
    try:
        with without_chatter():
            converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
            if name != "litert":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if name == "litert_float16":
                converter.target_spec.supported_types = [tf.float16]
            if name == "litert_int8":
                converter.representative_dataset = lambda: ({"image": picture} for picture in pictures)
            content = converter.convert()
    except (UserError, MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # its class has no public name to import
        raise not_converted(name, layers, error) from error
    with open(path, "wb") as file:
        file.write(content)
    with warnings.catch_warnings():
        # It recommends its own package; the one in TensorFlow is the same, and already here.
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated", category=UserWarning)
        with without_chatter():
            interpreter = tf.lite.Interpreter(model_path=path)
            interpreter.allocate_tensors()
    run = interpreter.get_signature_runner("serving_default")
    return lambda image: run(image=image)
