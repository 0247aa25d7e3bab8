"""Config -> model, with checks that say in words what would otherwise end in gibberish."""

from __future__ import annotations

import contextlib
import inspect
import traceback

import keras
import tensorflow as tf

from configs.schema import Config
from trainer.errors import EXIT_FAILED, UserError
from trainer.models.check import check_model
from trainer.models.encoder_unet import encoder_unet
from trainer.models.synchronization import synchronize
from trainer.models.unet import unet
from trainer.parts import load_attribute

_BUILT_IN = {"unet": unet, "encoder_unet": encoder_unet}


def size_multiple(config: Config) -> int:
    """What image height and width must be divisible by. A model of the user's is given the usual 32."""
    return 2**config.model.depth if config.model.name == "unet" else 32


def logits_per_pixel(config: Config) -> int:
    """Channels of the model's output: one a class, or one for two classes with a sigmoid."""
    return 1 if config.model.outputs == "sigmoid" else len(config.data.classes)


def build_model(config: Config, *, policy: str = "float32", replicas: int = 1) -> keras.Model:
    """Builds the model under a dtype policy; call it inside the strategy's scope.

    Returns:
      A built model from float32 images `[batch, height, width, channels]` with values 0..255 to float32 logits
      `[batch, height, width, outputs]`.

    Raises:
      UserError: the name leads nowhere, the function fails to return a Keras model, the model is not built, has no
        trainable variable, or its output does not have the shape of logits.
    """
    outputs = logits_per_pixel(config)
    with _dtype_policy(policy):
        if config.model.name in _BUILT_IN:
            model = _BUILT_IN[config.model.name](config.model, config.data.channels, outputs, synchronized=replicas > 1)
        else:
            function = load_attribute(config.model.name, "config.model.name")
            model = _call(function, config, dict(input_channels=config.data.channels, outputs=outputs))
            if replicas > 1 and isinstance(model, keras.Model):
                synchronize(model)
            _check_users_model(model, config, outputs)
    return model


def _call(function, config: Config, given: dict):
    """Calls the user's function; what it takes is told where that is not what it is given."""
    given = {**given, **config.model.options}
    try:
        inspect.signature(function).bind(**given)
    except TypeError as error:
        called = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise UserError(
            f"config.model.name={config.model.name!r}: {error}. It is called as {function.__name__}({called}).\n"
            f"  Write it as: def {function.__name__}({', '.join(given)}); further arguments come from config.model.options."  # noqa: E501
        ) from error
    except ValueError:
        pass  # a callable without a signature: the call itself will tell
    try:
        return function(**given)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        source = inspect.getsourcefile(inspect.unwrap(function)) if inspect.isroutine(function) else None
        frame = ([f for f in frames if f.filename == source] or frames)[-1]
        raise UserError(
            f"config.model.name={config.model.name!r}: {frame.filename}:{frame.lineno} raised {type(error).__name__}: "
            f"{error}\n    {frame.line}",
            exit_code=EXIT_FAILED,
        ) from error


def _check_users_model(model, config: Config, outputs: int) -> None:
    name = config.model.name
    if not isinstance(model, keras.Model):
        raise UserError(
            f"{name} returned {type(model).__name__}, not a keras.Model. Return the model itself: "
            "`return keras.Model(inputs, logits)`."
        )
    side = max(64, size_multiple(config))
    shape = (1, side, side, config.data.channels)
    if not model.built:
        # A subclassed model makes its variables at its first call; here, inside the scope, is the place for it.
        model(keras.ops.zeros(shape, "float32"))
    check_model(model, tf.distribute.get_strategy())
    spec = model.compute_output_spec(keras.KerasTensor(shape, "float32"))
    specs = spec if isinstance(spec, (list, tuple)) else [spec]
    got = tuple(getattr(specs[0], "shape", ()))
    if got != (1, side, side, outputs):
        raise UserError(
            f"{name} maps images {shape} to {got}, but the loss needs logits "
            f"{(1, side, side, outputs)}: one for each of the "
            f"{outputs} output channel(s) at each pixel.\n  End the model with: "
            f"keras.layers.Conv2D({outputs}, 1, dtype='float32')"
        )
    if specs[0].dtype != "float32":
        raise UserError(
            f"{name} returns {specs[0].dtype} logits; losses need float32.\n  Write the last layer as: "
            f"keras.layers.Conv2D({outputs}, 1, dtype='float32')"
        )


@contextlib.contextmanager
def _dtype_policy(name: str):
    """Keras reads the global policy when a layer is made; it is put back for whoever builds next."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
