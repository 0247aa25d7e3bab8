"""Training crop and tiles for models that do not take images of any size."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from configs.reading import fields
from configs.schema import Augment, Config
from trainer.models.inputs import by, fixed_size, size_trouble


def fit_sizes(config: Config, model: keras.Model) -> tuple[Config, list[str]]:
    """A config with which a model can be trained and evaluated, and a note for each field that was changed.

    A model with a fixed input size is trained on crops and applied in tiles of that size. One that does not take every
    size, or computes with it in Python, is applied in tiles as large as the training crop.
    """
    crop, tile, notes, new = tuple(config.augment.crop), tuple(config.evaluate.tile), [], {}
    fixed = fixed_size(model)
    if fixed is not None:
        if crop != fixed:
            new["augment.crop"] = fixed
            notes.append(
                f"the model takes images of {by(fixed)} pixels alone: augment.crop is set to it (was "
                f"{','.join(map(str, crop))})"
            )
        if tile != fixed:
            new["evaluate.tile"] = fixed
            notes.append(f"evaluation and prediction go in tiles of {by(fixed)}, the model's one size")
    elif not any(tile):
        trouble = size_trouble(model, config.data.channels, crop)
        if trouble is not None:
            new["evaluate.tile"] = crop
            tensors = " With tf.shape(x)[1] in place of x.shape[1] it takes images whole." if trouble.place else ""
            notes.append(f"evaluation and prediction go in tiles of {by(crop)}: {trouble}.{tensors}")
    return fields.replace(config, new), notes


def fit_crop(config: Config, models: Mapping[str, keras.Model]) -> tuple[Config, list[str]]:
    """The config for a user's task, and a note if the crop was set for its first model.

    A task may do anything with an image before a model gets it: a crop other than the default stays.
    """
    name, model = next(iter(models.items()), ("", None))
    fixed = fixed_size(model) if model is not None else None
    crop = tuple(config.augment.crop)
    if fixed is None or fixed == crop or crop != Augment().crop:
        return config, []
    note = f"the model {name} takes images of {by(fixed)} pixels alone: augment.crop is set to it"
    return fields.replace(config, {"augment.crop": fixed}), [note]
