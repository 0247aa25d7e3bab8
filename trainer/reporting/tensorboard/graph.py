"""A model as a graph of its layers for TensorBoard, or of its operations if it has no graph of layers."""

from __future__ import annotations

import json
import math
import re

import keras
import tensorflow as tf
from tensorboard.plugins.graph import keras_util

from trainer.models.inputs import fixed_size, input_names

# "down0_1_conv" is part of "down0", "block_3_expand" of "block_3".
_GROUP = re.compile(r"([A-Za-z]+_?\d+[a-z]?)_")


def model_graph(model: keras.Model, channels: int):
    """A `GraphDef`, or None for a model that has no layers to show and cannot be traced for images of any size.

    Args:
      channels: the image's.
    """
    return _of_layers(model) or _of_operations(model, channels)


def _of_layers(model: keras.Model):
    """Layers with their output shapes and numbers of parameters, grouped by the first part of their names."""
    if not isinstance(model, (keras.Sequential,)) and not hasattr(model, "operations"):
        return None
    try:
        # TensorBoard would print a line for each mixed policy, which is not a dtype: use that of the computation.
        text = re.sub(r'"mixed_(b?float16)"', r'"\1"', model.to_json())
        graph = keras_util.keras_model_to_graph_def(json.loads(text))
    except Exception:  # a user's layer without a configuration: its code may raise anything
        return None
    if len(graph.node) < 2:
        return None
    layers = {layer.name: layer for layer in model._flatten_layers(include_self=False)}
    # The model's own name around everything would be a box that has to be opened.
    own = f"{model.name}/"
    inside = {node.name.removeprefix(own).rpartition("/")[2] for node in graph.node}
    groups = {found[1] for name in inside if (found := _GROUP.match(name))}
    groups = {group for group in groups if sum(name.startswith(f"{group}_") for name in inside) > 1}

    def shown(name: str) -> str:
        where, _, last = name.removeprefix(own).rpartition("/")
        found = _GROUP.match(last)
        group = [found[1]] if found and found[1] in groups else []
        return "/".join([*([where] if where else []), *group, last])

    for node in graph.node:
        layer = layers.get(node.name.rpartition("/")[2])
        node.name = shown(node.name)
        node.op = node.attr["keras_class"].s.decode() or "Layer"
        node.input[:] = [shown(name) for name in node.input]
        if layer is not None:
            node.attr["parameters"].i = sum(math.prod(v.shape) for v in layer.weights)
            shape = getattr(getattr(layer, "output", None), "shape", None)
            if shape is not None:
                sizes = node.attr["_output_shapes"].list.shape.add()
                for size in shape:
                    sizes.dim.add(size=-1 if size is None else size)
    return graph


def _of_operations(model: keras.Model, channels: int):
    """The operations at inference, without the scope around all of them."""
    if len(input_names(model)) > 1:
        return None
    height, width = fixed_size(model) or (None, None)
    image = tf.TensorSpec([1, height, width, channels], tf.float32, name="image")
    try:
        traced = tf.function(lambda image: model(image, training=False)).get_concrete_function(image).graph
    except Exception:  # arithmetic on unknown sizes: the user's code may raise anything
        return None
    graph = traced.as_graph_def(add_shapes=True)
    scopes = {node.name.partition("/")[0] for node in graph.node if "/" in node.name}
    if len(scopes) == 1:
        own = f"{scopes.pop()}/"
        for node in graph.node:
            node.name = node.name.removeprefix(own)
            node.input[:] = [re.sub(rf"^(\^?){re.escape(own)}", r"\1", name) for name in node.input]
    return graph
