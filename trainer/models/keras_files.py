"""A model from a Keras file, `--config.model.name=path/to/model.keras`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import keras

from trainer.errors import UserError

SUFFIXES = (".keras", ".h5", ".hdf5")


def is_model_file(name: Any) -> bool:
    """Whether config.model.name is the path of a file."""
    return isinstance(name, str) and name.lower().endswith(SUFFIXES)


def load_model(path: str, options: Mapping[str, Any]) -> keras.Model:
    """Loads a model with its weights; no code in the file is run.

    Args:
      path: a .keras or .h5 file written by `model.save`.
      options: config.model.options: "norm_momentum" sets the momentum of every batch normalisation.

    Raises:
      UserError: there is no such file, or it has no model, or unregistered classes.
    """
    field = f"config.model.name={path!r}"
    unknown = sorted(set(options) - {"norm_momentum"})
    if unknown:
        raise UserError(
            f"config.model.options: a model from a file takes norm_momentum alone, not {', '.join(unknown)}."
        )
    if not os.path.isfile(path):
        raise UserError(f"{field}: there is no such file.")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras may raise anything.
        text = " ".join(str(error).split())
        what = text[:300] + (" …" if len(text) > 300 else "")
        own = "Could not locate" in text or "custom" in text.lower() or "Unknown layer" in text
        advice = (
            "Classes and functions of your own have to be known: write a function that imports them and returns "
            "keras.saving.load_model(PATH), and name it: --config.model.name=my_module:load_it"
            if own or "Lambda" in text
            else "It has to be what model.save wrote, of a whole model; weights alone (.weights.h5) are loaded by a "
            "function of your own that builds the model."
        )
        raise UserError(f"{field} cannot be loaded: {type(error).__name__}: {what}\n  {advice}") from error
    if not isinstance(model, keras.Model):
        raise UserError(f"{field} holds a {type(model).__name__}, and no model.")
    if "norm_momentum" in options:
        for layer in model._flatten_layers(include_self=False, recursive=True):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = float(options["norm_momentum"])
    return model
