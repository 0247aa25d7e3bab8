"""Config -> model, with checks that say in words what would otherwise end in gibberish."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import reprlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from configs.reading.levels import levels, rank_of
from configs.schema import Config
from trainer.errors import EXIT_FAILED, UserError
from trainer.models.check import check_model
from trainer.models.encoder_unet import encoder_unet
from trainer.models.inputs import fixed_size, input_names, said_by, space_made, users_line
from trainer.models.keras_files import is_model_file, load_model
from trainer.models.outputs import Form, logits_form
from trainer.models.synchronization import synchronize
from trainer.models.unet import unet
from trainer.parts import made_by, name_of, resolve

_BUILT_IN = {"unet": unet, "encoder_unet": encoder_unet}


def size_multiple(config: Config, model: keras.Model | None = None) -> int:
    """What the sides of an image must be divisible by. A model of the user's is given the usual 32."""
    return math.lcm(*size_multiples(config, model))


def size_multiples(config: Config, model: keras.Model | None = None) -> tuple[int, ...]:
    """The same for each axis of space: of a built model, or of the one that the config names."""
    if model is not None:
        return getattr(model, "size_multiples", (32,) * rank_of(config))
    return levels(config).multiples if config.model.name == "unet" else (32,) * rank_of(config)


def logits_per_pixel(config: Config) -> int:
    """Channels of the model's output: one a class, or one for two classes with a sigmoid."""
    one = config.model.outputs == "sigmoid" and not config.data.multi_label
    return 1 if one else len(config.data.classes)


def activation(config: Config) -> str:
    """What makes probabilities of the logits: "softmax" over the classes, or a "sigmoid" of each."""
    return "sigmoid" if config.data.multi_label else config.model.outputs


def build_model(config: Config, model: Any = None, **how: Any) -> keras.Model:
    """The model of `build_form`, with its arguments."""
    return build_form(config, model, **how).model


def build_form(
    config: Config, model: Any = None, *, policy: str = "float32", replicas: int = 1, outputs: int | None = None
) -> Form:
    """Builds the model under a dtype policy; call it inside the strategy's scope.

    Args:
      config: `model`, `data.classes` and `data.channels` are read.
      model: a `keras.Model`, which is taken as it is, or a function or class that gives one; None takes
        `config.model.name`.
      policy: Keras's dtype policy for what is built here.
      replicas: with more than one, batch statistics are synchronised.
      outputs: what the model is asked for, for a task that itself knows what it does with the output, so that this is
        not checked; None takes the logits that the config's loss needs.

    Returns:
      A built model from float32 images `[batch, *space, channels]` to float32 logits `[batch, *space, outputs]`; space
      is height and width, and of volumes depth before them.
      Also what was recognised of a user's.

    Raises:
      UserError: the name leads nowhere, the function fails to return a Keras model, the model is not built, has no
        trainable variable, or its output does not have the shape of logits.
    """
    free, outputs = outputs is not None, logits_per_pixel(config) if outputs is None else outputs
    channels = config.data.channels
    if model is None and config.model.name in _BUILT_IN:
        with dtype_policy(policy):
            further = {"levels": levels(config)} if config.model.name == "unet" else {}
            built = _BUILT_IN[config.model.name](config.model, channels, outputs, synchronized=replicas > 1, **further)
        built.size_multiples = size_multiples(config)
        return Form(built, outputs)
    field = "config.model.name" if model is None else "model"
    if model is None and is_model_file(config.model.name):
        model = load_model(config.model.name, config.model.options)
    part = resolve(config.model.name if model is None else model, field, _BUILT_IN)
    name = name_of(config.model.name if model is None else model)
    if not isinstance(part, keras.Model) and (isinstance(part, keras.Layer) or not callable(part)):
        raise UserError(
            f"{field}={reprlib.repr(part)} is of type {type(part).__name__}: pass a keras.Model, or a function that "
            "gives one; layers make one by keras.Sequential([…])."
        )
    if not isinstance(part, keras.Model):
        offered = dict(input_channels=channels, outputs=outputs)
        with dtype_policy(policy), fresh_names():
            part = _call(part, f"{field}={name!r}", offered, config.model.options)
    if replicas > 1 and isinstance(part, keras.Model):
        synchronize(part)
    return _checked(part, name, config, outputs, free)


def _call(function, what: str, offered: dict, options: Mapping):
    """Calls the user's function with what it names of `offered`, and with all `options`.

    Where these are not what it takes, the message says how it was called.
    """
    given, called_as = {**offered, **options}, getattr(function, "__name__", type(function).__name__)
    try:
        signature = inspect.signature(function)
        if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
            given = {key: value for key, value in given.items() if key in signature.parameters or key in options}
        signature.bind(**given)
    except TypeError as error:
        called = ", ".join(f"{name}={value!r}" for name, value in {**offered, **options}.items())
        raise UserError(
            f"{what}: {error}. It is called as {called_as}({called}).\n"
            f"  Write it as: def {called_as}({', '.join({**offered, **options})}), where the first two may be "
            "left out; further arguments come from config.model.options."
        ) from error
    except ValueError:
        pass  # a callable without a signature: the call itself shows it
    return made_by(function, given, what)


def _check_channels(model: keras.Model, name: str, channels: int) -> None:
    inputs = dict(zip(input_names(model), getattr(model, "inputs", None) or (), strict=False))
    takes = tuple(inputs["image"].shape) if "image" in inputs else ()
    if len(takes) in (4, 5) and takes[-1] not in (None, channels):
        raise UserError(
            f"{name} takes images of {takes[-1]} channels, and the data have {channels}.\n  Build it for them, "
            f"keras.Input((None, None, {channels})), or, where they are files, read them so: "
            f"--config.data.channels={takes[-1]}"
        )


def _checked(model, name: str, config: Config, outputs: int, free: bool) -> Form:
    if not isinstance(model, keras.Model):
        raise UserError(
            f"{name} returned {type(model).__name__}, not a keras.Model. Return the model itself: `return "
            "keras.Model(inputs, logits)`."
        )
    _check_channels(model, name, config.data.channels)
    space = fixed_size(model) or _filled(model, tuple(config.augment.crop))
    shape = (1, *space, config.data.channels)
    last_layer = f"keras.layers.Conv{len(space)}D({outputs}, 1, dtype='float32')"
    if not model.built:
        # A subclassed model makes its variables at its first call; here, inside the scope, is the place for it.
        with _naming_users_line(name, shape):
            model(keras.ops.zeros(shape, "float32"))
    check_model(model, tf.distribute.get_strategy())
    if free or len(input_names(model)) > 1:
        return Form(model, outputs)  # Of what shape the other inputs are, the examples say.
    with _naming_users_line(name, shape):
        form = logits_form(model, outputs, size=space, channels=config.data.channels, wanted=config.model.output)
        spec = form.model.compute_output_spec(keras.KerasTensor(shape, "float32"))
    if fixed_size(model) is None and space != tuple(config.augment.crop):
        # Of one side alone: the other is the crop's.
        inputs = keras.Input((*space, config.data.channels))
        form = dataclasses.replace(form, model=keras.Model(inputs, form.model(inputs), name=form.model.name))
    model = form.model
    if form.outputs == 1 and outputs == 2 and len(config.data.classes) == 2:
        note = "the model gives one value a pixel: model.outputs is sigmoid, of class 1"
        form, outputs = dataclasses.replace(form, notes=(*form.notes, note)), 1
    specs = spec if isinstance(spec, (list, tuple)) else [spec]
    got = tuple(getattr(specs[0], "shape", ()))
    if got != (1, *space, outputs):
        fitting = _fitting_crop(model, space, config) if got[-1:] == (outputs,) and len(got) == len(shape) else None
        if fitting is not None:
            multiple, crop = fitting
            raise UserError(
                f"{name} maps images {shape} to {got}: it gives the sides back that are multiples of {multiple}.\n"
                f"  Train on such crops: --config.augment.crop={','.join(map(str, crop))}"
            )
        raise UserError(
            f"{name} maps images {shape} to {got}, but the loss needs logits {(1, *space, outputs)}: one for "
            f"each of the {outputs} output channel(s) at each pixel.\n  End the model with: {last_layer}"
        )
    if specs[0].dtype != "float32":
        raise UserError(
            f"{name} returns {specs[0].dtype} logits; losses need float32.\n  Write the last layer as: {last_layer}"
        )
    return form


def _filled(model: keras.Model, crop: tuple[int, ...]) -> tuple[int, ...]:
    """The training crop with the sides that the model's input says; it may leave the others open."""
    inputs = getattr(model, "inputs", None) or ()
    said = tuple(inputs[0].shape[1:-1]) if inputs else ()
    return tuple(side or here for side, here in zip(said, crop, strict=True)) if len(said) == len(crop) else crop


def _fitting_crop(model: keras.Model, space: tuple[int, ...], config: Config) -> tuple[int, tuple[int, ...]] | None:
    """A multiple that sides have to be of for the model to give them back, and the nearest crop of such sides."""
    for multiple in range(2, 65):
        crop = tuple(max(multiple, round(side / multiple) * multiple) for side in space)
        with contextlib.suppress(Exception):  # whatever the user's code raises
            larger = tuple(side + multiple for side in crop)
            if all(space_made(model, config.data.channels, sides) == sides for sides in (crop, larger)):
                return multiple, crop
    return None


@contextlib.contextmanager
def _naming_users_line(name: str, shape: tuple):
    """What a model raises when it is called, with the line of the user's that did."""
    try:
        yield
    except (UserError, MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:
        place, code = users_line(error)
        raise UserError(
            f"{name} cannot be called on images {shape}, a training crop (--config.augment.crop) with the data's "
            f"channels: {place + ' raised ' if place else ''}{said_by(error)}" + (f"\n    {code}" if code else ""),
            exit_code=EXIT_FAILED,
        ) from error


@contextlib.contextmanager
def dtype_policy(name: str):
    """Keras reads the global policy when a layer is made; it is put back for whoever builds next."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def fresh_names():
    """Layers made inside are numbered from one, so that a model's paths are the same in every process."""
    # Keras has no public way to its counters but `clear_session`, which takes the user's other models' names, too.
    from keras.src.backend.common import global_state

    counters = global_state.get_global_attribute("object_name_uids", default=None)
    global_state.set_global_attribute("object_name_uids", None)
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", counters)
