"""Several networks as one Keras model whose probabilities are the mean of its members'.

Evaluation, prediction, tiles, windows, mirroring and export use it like any other model. Its members are computed one
after the other, so that only the memory of one is needed at a time, besides the weights of all.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import keras

from trainer.models.input_scaling import StandardizeImage
from trainer.models.inputs import fixed_size, input_names
from trainer.prediction.mirroring import mean_answer
from trainer.prediction.windows import behind_standardization, main_logits


class Ensemble(keras.layers.Layer):
    """Images `[batch, *space, channels]`, or a mapping of inputs, to logits `[batch, *space, outputs]`, float32.

    Args:
      members: models from images to logits.
      outputs: channels of these.
      sigmoid: whether each logit has its own probability; otherwise they are a softmax's.
    """

    def __init__(self, members: Sequence[keras.Model], outputs: int, *, sigmoid: bool):
        super().__init__(dtype="float32", name="ensemble")
        self.members, self._outputs, self._sigmoid = list(members), outputs, sigmoid

    def call(self, inputs):
        def answer(member):
            return main_logits(member(inputs, training=False))

        return mean_answer([functools.partial(answer, member) for member in self.members], sigmoid=self._sigmoid)

    def compute_output_spec(self, inputs):
        image = inputs["image"] if isinstance(inputs, Mapping) else inputs
        return keras.KerasTensor((*image.shape[:-1], self._outputs), "float32")


def standardizes(model: keras.Model) -> bool:
    """Whether a model begins by bringing each image to mean 0 and deviation 1."""
    return isinstance(getattr(model, "layers", None), list) and behind_standardization(model) is not None


def ensemble_model(members: Sequence[keras.Model], shape: Sequence[int | None], outputs: int, *, sigmoid: bool):
    """The members as one model.

    Args:
      members: alike in their inputs, and all or none of them `standardizes`.
      shape: that of an image, `(*space, channels)`, if the members leave it open.
      outputs, sigmoid: see `Ensemble`.
    """
    first = members[0]
    if len(input_names(first)) > 1:
        inputs = {
            tensor.name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name) for tensor in first.inputs
        }
        return keras.Model(inputs, Ensemble(members, outputs, sigmoid=sigmoid)(inputs))
    image = features = keras.Input((*(fixed_size(first) or shape[:-1]), shape[-1]), name="image")
    if standardizes(first):
        # In front of all members, where the code that cuts tiles looks for it: a tile has other means.
        features = StandardizeImage(name="standardize")(image)
        members = [behind_standardization(member) for member in members]
    model = keras.Model(image, Ensemble(members, outputs, sigmoid=sigmoid)(features))
    if hasattr(first, "size_multiples"):
        model.size_multiples = first.size_multiples
    return model
