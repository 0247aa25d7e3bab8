"""Segmentation losses for TensorFlow: plain functions by the field's names, and Keras classes made from them."""

from losses.compound import LossValue, build
from losses.overlap import dice
from losses.pixel import cross_entropy

__all__ = ["LossValue", "build", "cross_entropy", "dice"]
