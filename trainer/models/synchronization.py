"""The same on any number of replicas, for networks that were not written for it: Keras's own, and users'."""

from __future__ import annotations

import keras

from trainer.models.layers.batch_normalization import BatchNormalization


def synchronize(model: keras.Model) -> None:
    """Makes every batch normalisation in a model, Keras's or ours, take its statistics over all replicas."""
    # keras.Model has no public way to all nested layers.
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, (keras.layers.BatchNormalization, BatchNormalization)):
            layer.synchronized = True


def same_on_all_replicas(model: keras.Model, momentum: float, synchronized: bool) -> keras.Model:
    """A copy of a functional model, with its weights, whose batch normalisation is ours; all else is as it was.

    The networks of keras.applications come with Keras's: with statistics of a replica, and moving averages whose
    momentum of 0.999 needs thousands of steps. Setting `synchronized` on it would not do: see our layer for what its
    sums lose, and for how long several replicas take to trace. A layer without gamma or beta stays Keras's own,
    synchronised.
    """

    def copy(layer):
        if type(layer) is not keras.layers.BatchNormalization:
            return layer.__class__.from_config(layer.get_config())
        if layer.scale and layer.center:
            return BatchNormalization(momentum, layer.epsilon, synchronized, name=layer.name)
        return layer.__class__.from_config(
            {**layer.get_config(), "momentum": momentum, "synchronized": synchronized, "dtype": "float32"}
        )

    copied = keras.models.clone_model(model, clone_function=copy)
    copied.set_weights(model.get_weights())
    return copied
