"""One reference case: its options by whatever name they go, and the call of a loss with those it has."""

import ast
import re

import numpy as np

import losses
from losses.names import LOSSES, options_of

# Other names of the mean.
REDUCTIONS = {"sum_over_batch_size": "mean", "elementwise_mean": "mean"}


class Unoffered(Exception):
    """A formula, or an option of one, that `losses` does not have; the text names it."""


class Case:
    """A case's options, read by any of their names; unread ones can be listed afterwards."""

    def __init__(self, entry, arrays):
        self.formula, self.library = entry["formula"], entry.get("library")
        self.arrays = {role: arrays[key] for role, key in entry["inputs"].items() if isinstance(key, str)}
        # The formula's own words come first, then the neutral options, then what the library was given.
        self.sources = [
            _resolved(source, arrays)
            for source in (entry.get("formula_kwargs"), entry.get("options"), _flat(entry.get("kwargs") or {}))
        ]
        self.before = entry.get("activation_before")
        self.read = set()

    def take(self, *names, default=None):
        """The option of the first of these names that any source has."""
        self.read.update(names)
        for source in self.sources:
            for name in names:
                if source.get(name) is not None:
                    return source[name]
        return default

    def unread(self):
        """Options of the formula, or neutral ones, that the computation did not look at."""
        given = {**self.sources[1], **self.sources[0]}
        return {name: value for name, value in given.items() if name not in self.read and value is not None}

    def activation(self, y, z):
        named = self.take("activation", default=self.before)
        if named is None and self.take("apply_nonlin"):
            named = "softmax" if "softmax" in self.take("apply_nonlin") else "sigmoid"
        if named is None:
            mode = {"binary": "sigmoid", "multilabel": "sigmoid", "multiclass": "softmax"}.get(self.take("mode"))
            flags = [name for name in ("softmax", "sigmoid") if self.take(name) or self.take(f"use_{name}")]
            named = flags[0] if flags else mode
        if self.take("other_act") is not None or named not in (None, "none", "identity", "softmax", "sigmoid"):
            raise Unoffered(f"an activation {named or self.take('other_act')!r}")
        if named in ("none", "identity"):
            return None
        if z.shape[-1] == 1:
            return "sigmoid"
        # The stored labels tell ids from channels of their own; `y` may be the ids made one-hot.
        stored = self.arrays.get("target", y)
        ids = len(stored.shape) < len(z.shape) or stored.shape[-1] < z.shape[-1]
        return named or ("softmax" if ids else "sigmoid")

    def weights(self, *more):
        return self.take("class_weights", *more, default=self.arrays.get("class_weights"))

    def shared(self, y, z):
        """The options every loss has."""
        over = self.take("batch", "batch_dice", default=False)
        return {
            "activation": self.activation(y, z),
            # Libraries keep a single channel, whatever they are told about the background.
            "include_background": self.take("include_background", "do_bg") if z.shape[-1] > 1 else None,
            "ignore_id": self.take("ignore", "ignore_index", "ignore_id", "ignore_label", "ignore_class"),
            "mask": self.arrays.get("mask") if self.take("mask", default=True) is True else self.take("mask"),
            "pixel_weights": as_array(self.take("pixel_weights", default=self.arrays.get("pixel_weights"))),
            "over": "batch" if over else "image",
            "reduction": REDUCTIONS.get(self.take("reduction"), self.take("reduction")),
        }


def _flat(kwargs):
    """A library's arguments with those of its parts, and those written out in `loss="DiceLoss(softmax=True)"`."""
    flat = {}
    for name, value in kwargs.items():
        if isinstance(value, dict):
            flat |= _flat(value)
        elif name == "loss" and isinstance(value, str):
            flat |= {key: ast.literal_eval(word) for key, word in re.findall(r"(\w+)=(True|False|[\d.e+-]+)", value)}
        else:
            flat[name] = value
    return flat


def _resolved(source, arrays):
    def one(value):
        if isinstance(value, str) and value.startswith("@"):
            return arrays[value[1:].removeprefix("t:")]
        return value

    return {name: one(value) for name, value in (source or {}).items()}


def as_array(value):
    return None if value is None else np.asarray(value)


def call(name, y, z, **options):
    """The loss of this name; options that are None are left at the loss's default."""
    if name not in LOSSES:
        raise Unoffered(f"a loss {name!r}")
    given = {option: value for option, value in options.items() if value is not None or option == "activation"}
    if "class_weights" in given and np.ndim(given["class_weights"]) == 0:
        given["class_weights"] = np.full(z.shape[-1], given["class_weights"])
    unknown = [option for option in given if option not in options_of(name)]
    # An option at its default says nothing, so a loss that refuses it may leave it out.
    defaults = {"include_background": True, "over": "image", "reduction": "mean"}
    unknown = [option for option in unknown if given.pop(option) != defaults.get(option)]
    if unknown:
        raise Unoffered(f"{', '.join(unknown)} of the loss {name!r}")
    return getattr(losses, name)(y, z, **given)
