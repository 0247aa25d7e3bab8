"""Makes networks that were not written for it, Keras's own and users', the same on any number of replicas."""

from __future__ import annotations

import keras

from trainer.models.layers.batch_normalization import BatchNormalization


def synchronize(model: keras.Model) -> None:
    """Makes every batch normalisation in a model, Keras's or this package's, take its statistics over all replicas."""
    # keras.Model has no public method for all nested layers.
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, (keras.layers.BatchNormalization, BatchNormalization)):
            layer.synchronized = True


def same_on_all_replicas(model: keras.Model, momentum: float, synchronized: bool) -> keras.Model:
    """A copy of a functional model, with its weights and this package's batch normalisation; the rest is unchanged.

    The networks of keras.applications come with Keras's: with statistics of one replica, and moving averages whose
    momentum of 0.999 needs thousands of steps. Setting `synchronized` on it is not enough: see
    `layers.batch_normalization` for the rounding of its sums, and for how long several replicas take to trace. A layer
    without gamma or beta stays Keras's own, synchronised.
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
