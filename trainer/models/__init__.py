"""Models by name: the U-Net, a U-Net on a keras.applications encoder, or any function of the user's.

The layers are those that train the same bits on several replicas of a CPU; a model of one's own may be made of them.
"""

from trainer.models.build import build_model, size_multiple
from trainer.models.convolution import Conv2D, Conv2DTranspose, DepthwiseConv2D
from trainer.models.layers.batch_normalization import BatchNormalization
from trainer.models.layers.group_normalization import GroupNormalization

__all__ = [
    "BatchNormalization",
    "Conv2D",
    "Conv2DTranspose",
    "DepthwiseConv2D",
    "GroupNormalization",
    "build_model",
    "size_multiple",
]
