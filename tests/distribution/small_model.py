"""A model that is traced in a third of a U-Net's time: what several processes cost is mostly that."""

import keras


def build(input_channels, outputs):
    images = keras.Input((None, None, input_channels))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(keras.layers.Rescaling(1 / 64, -2.0)(images))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(images, keras.layers.Conv2D(outputs, 1, dtype="float32")(x))
