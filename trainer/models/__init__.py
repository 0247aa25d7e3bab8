"""Models by name: the U-Net, a U-Net on a keras.applications encoder, or any function of the user's.

Models are made of Keras's layers. The exceptions, which a model of your own may use as well, are normalisations whose
sums neither drift with the image's size nor differ with the number of replicas, and dropout that does not either.
"""

from trainer.models.build import build_model, size_multiple
from trainer.models.layers.batch_normalization import BatchNormalization
from trainer.models.layers.dropout import Dropout
from trainer.models.layers.group_normalization import GroupNormalization

__all__ = [
    "BatchNormalization",
    "Dropout",
    "GroupNormalization",
    "build_model",
    "size_multiple",
]
