"""The model as an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from configs.schema import Config
from trainer.export.errors import not_converted
from trainer.export.saved_model import Predictor
from trainer.export.serving_function import Sizes, serving_function
from trainer.reporting.tensorflow_messages import without_chatter

PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


def onnx(model, config: Config, path: str, sizes: Sizes) -> Predictor:
    spec = tf.TensorSpec([None, *sizes.free, config.data.channels], sizes.dtype, name="image")
    return write_onnx(serving_function(model, config, sizes), spec, path, model.layers)


def write_onnx(serve: Callable, spec: tf.TensorSpec, path: str, layers: Sequence) -> Predictor:
    """Converts a function of one tensor and returns the function of the file, loaded again; see `write_litert`."""
    import onnxruntime
    import tf2onnx

    serve = tf.function(serve, input_signature=[spec])
    try:
        with without_chatter():
            tf2onnx.convert.from_function(serve, input_signature=[spec], opset=17, output_path=path)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # it may raise anything
        raise not_converted("onnx", layers, error) from error
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda image: dict(zip(names, session.run(names, {session.get_inputs()[0].name: image}), strict=True))
