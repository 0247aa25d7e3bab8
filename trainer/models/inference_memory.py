"""The memory that a network needs at inference, from its own sizes: how large an image it can take at once."""

from __future__ import annotations

import dataclasses
import math

import keras

# If a convolution's patch matrix exceeds this, TensorFlow's CPU kernels take a path some 300 times slower.
PATCH_BYTES = 2**32
# Side of the image, in pixels, with which sizes are found; divisible by 64.
_SIDE = 256
# For a network that cannot be examined: the needs of a U-Net of width 64.
_UNKNOWN = (8 * 64 * 9 * 3, 16 * 64 * 4)


@dataclasses.dataclass(frozen=True)
class Footprint:
    """Bytes for each pixel of the input.

    Attributes:
      patches: those of the largest patch matrix of a convolution (kernel height x width x channels, float32).
      activations: an estimate of those held at a time: a quarter of all layers' outputs, and four times the largest.
    """

    patches: float
    activations: float

    def pixels(self, memory: float) -> int:
        """Pixels of the largest image that stays below TensorFlow's limit and within `memory` bytes."""
        return int(min((PATCH_BYTES - 1) // self.patches, memory // self.activations))


def footprint(model: keras.Model, channels: int) -> Footprint:
    """Computed from the layers of a functional model; others are taken for a large U-Net."""
    members = [member for layer in getattr(model, "layers", ()) for member in getattr(layer, "members", ())]
    if members:  # those of an ensemble are computed in turn
        each = [footprint(member, channels) for member in members]
        return Footprint(max(part.patches for part in each), max(part.activations for part in each))
    try:
        found = list(_layers(model, keras.KerasTensor((1, _SIDE, _SIDE, channels), "float32")))
    except Exception:  # a subclassed model, or one that takes only one size, which needs no examination
        return Footprint(*_UNKNOWN)
    sizes = [4 * math.prod(shape[1:]) for _, _, shape in found] or [_UNKNOWN[1] * _SIDE**2]
    patches = [_patches(*layer) for layer in found]
    pixels = _SIDE**2
    return Footprint(max([1.0, *(p / pixels for p in patches)]), (4 * max(sizes) + sum(sizes) / 4) / pixels)


def _layers(model: keras.Model, spec):
    """(layer, shape of its input, shape of its output) of all layers with one output, those of nested models too."""
    inner = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    # The layer's call in this model; a nested model's own input and output are those of its inside.
    # Keras has no public access to the calls of a functional model.
    nodes = {id(node.operation): node for level in model._nodes_by_depth.values() for node in level}
    calls = [(layer, nodes[id(layer)]) for layer in inner]
    tensors = [tensor for _, node in calls for tensor in (node.input_tensors[0], node.outputs[0])]
    specs = keras.Model(model.inputs, tensors).compute_output_spec(spec)
    for (layer, _), before, after in zip(calls, specs[::2], specs[1::2], strict=True):
        if isinstance(layer, keras.Model):
            yield from _layers(layer, keras.KerasTensor(before.shape, "float32"))
        yield layer, tuple(before.shape), tuple(after.shape)


def _patches(layer, before, after) -> float:
    """Bytes of a convolution's patch matrix; 0 for any other layer. A transposed one unfolds its output's gradient."""
    if not hasattr(layer, "kernel_size") or len(after) != 4:
        return 0.0
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    pixels = math.prod((before if transposed else after)[1:3])
    return 4.0 * pixels * math.prod(layer.kernel_size) * (after if transposed else before)[-1]
