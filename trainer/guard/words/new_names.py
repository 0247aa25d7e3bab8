"""The TensorFlow or Keras 3 name of a function of NumPy or of an older Keras, found by looking it up."""

from __future__ import annotations

# Functions that neither `keras.ops` nor TensorFlow has under the same name. All others are looked up.
_KERAS_BACKEND = {
    "flatten": "keras.ops.reshape({x}, [-1])",
    "batch_flatten": "keras.ops.reshape({x}, [keras.ops.shape({x})[0], -1])",
    "epsilon": "keras.config.epsilon()",
    "floatx": "keras.config.floatx()",
    "image_data_format": "keras.config.image_data_format()",
    "set_epsilon": "keras.config.set_epsilon(value)",
    "set_floatx": "keras.config.set_floatx(value)",
    "dot": "keras.ops.matmul({x}, y)",
    "batch_dot": "keras.ops.einsum('bij,bjk->bik', {x}, y)",
    "pow": "keras.ops.power({x}, y)",
    "clip": "keras.ops.clip({x}, low, high)",
    "switch": "keras.ops.where(condition, {x}, y)",
    "concatenate": "keras.ops.concatenate([{x}, y], axis=-1)",
    "permute_dimensions": "keras.ops.transpose({x}, axes)",
    "int_shape": "{x}.shape",
    "ndim": "keras.ops.ndim({x})",
    "gather": "keras.ops.take({x}, indices, axis=0)",
    "variable": "keras.Variable({x})",
    "placeholder": "keras.Input(shape)",
    "eval": "{x}.numpy()  # outside the loss",
    "get_value": "{x}.numpy()  # outside the loss",
    "set_value": "{x}.assign(value)",
    "learning_phase": "the `training` argument of call()",
    "gradients": "tape.gradient(loss, variables)",
    "stop_gradient": "keras.ops.stop_gradient({x})",
    "l2_normalize": "keras.ops.normalize({x}, axis=-1)",
    "binary_crossentropy": "keras.ops.binary_crossentropy(y_true, y_pred)",
    "categorical_crossentropy": "keras.ops.categorical_crossentropy(y_true, y_pred)",
    "sparse_categorical_crossentropy": "keras.ops.sparse_categorical_crossentropy(y_true, y_pred)",
    "random_normal": "keras.random.normal(shape)",
    "random_uniform": "keras.random.uniform(shape)",
    "conv2d": "keras.ops.conv({x}, kernel)",
    "pool2d": "keras.ops.max_pool({x}, size)",
    "resize_images": "keras.ops.image.resize({x}, size)",
    "function": "tf.function(f)",
    "constant": "keras.ops.convert_to_tensor({x})",
}
_NUMPY = {
    "concatenate": "tf.concat",
    "hstack": "tf.concat",
    "vstack": "tf.concat",
    "dot": "tf.tensordot",
    "array": "tf.convert_to_tensor",
    "asarray": "tf.convert_to_tensor",
    "float32": "tf.cast",
    "float64": "tf.cast",
    "power": "tf.pow",
    "arctan2": "tf.atan2",
    "log2": "tf.math.log(x) / tf.math.log(2.0)",
    "copy": "tf.identity",
    "clip": "tf.clip_by_value",
    "absolute": "tf.abs",
    "swapaxes": "tf.transpose",
}


def tensorflow_name(numpy_name: str) -> str | None:
    """The TensorFlow function that does what a NumPy one does: `mean` -> `tf.reduce_mean`; None if there is none.

    Args:
      numpy_name: the name after `np.`: `mean`, `linalg.norm`, `fft.fft`.
    """
    import keras
    import tensorflow as tf

    module, _, name = numpy_name.rpartition(".")
    if not module and name in _NUMPY:
        return _NUMPY[name]
    homes = {
        "linalg": [("tf.linalg", tf.linalg)],
        "fft": [("tf.signal", tf.signal)],
        "random": [("tf.random", tf.random)],
    }
    places = homes.get(module, [("tf", tf), ("tf.math", tf.math), ("tf.linalg", tf.linalg), ("tf.nn", tf.nn)])
    for candidate in ([f"reduce_{name}"] if not module else []) + [name]:
        for prefix, place in places:
            if callable(getattr(place, candidate, None)):
                return f"{prefix}.{candidate}"
    return f"keras.ops.{name}" if not module and callable(getattr(keras.ops, name, None)) else None


def numpy_replacements(calls: list[str]) -> list[tuple[str, str | None]]:
    """(`np.mean`, `tf.reduce_mean`) for each NumPy or SciPy call among dotted names, without repetitions."""
    found: dict[str, str | None] = {}
    for call in calls:
        root, _, name = call.partition(".")
        if root in ("np", "numpy", "onp") and name:
            found[call] = tensorflow_name(name)
        elif root in ("math",) and name:
            found[call] = tensorflow_name(name)
        elif root in ("scipy", "sp") and name.startswith("special."):
            found[call] = tensorflow_name(name.removeprefix("special."))
        elif root in ("scipy", "sp", "ndimage", "cv2", "skimage", "sklearn") and name:
            found[call] = None
    return list(found.items())


def keras_replacement(name: str, argument: str = "x") -> str | None:
    """What to write in Keras 3 for `K.name`, as code; None if nothing like it was found."""
    import keras
    import tensorflow as tf

    if name in _KERAS_BACKEND:
        return _KERAS_BACKEND[name].format(x=argument)
    if callable(getattr(keras.ops, name, None)):
        return f"keras.ops.{name}({argument})"
    if callable(getattr(keras.activations, name, None)):
        return f"keras.activations.{name}({argument})"
    for prefix, place in (("tf", tf), ("tf.math", tf.math), ("tf.nn", tf.nn)):
        if callable(getattr(place, name, None)):
            return f"{prefix}.{name}({argument})"
    return None
