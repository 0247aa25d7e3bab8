"""Checks before the first step what a step needs of its model: TensorFlow's own errors come late, or never.

Training a model without variables goes unnoticed; one made outside the strategy's scope ends in an AssertionError
without text; XLA over several replicas in "merge_call called while defining a new graph or a tf.function".
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from configs.schema import Config
from trainer.errors import UserError, numbered


def check_model(model: keras.Model, strategy: tf.distribute.Strategy, *, trained: bool = True) -> None:
    """Checks a model that is about to be trained or, if `trained` is false, used beside it.

    Raises:
      UserError: it is not built, has nothing trainable, or its variables were made outside the strategy's scope.
    """
    if not model.built:
        raise UserError(
            f"The model {model.name!r} is not built: it has no variables yet, so there is nothing to train.\n"
            "  Build it before training: model.build((None, None, None, 3)), or call it once on a batch of zeros."
        )
    if trained and not model.trainable_variables:
        frozen = [layer.name for layer in model.layers if not layer.trainable]
        raise UserError(
            f"The model {model.name!r} has {len(model.variables)} variables and none of them is trainable"
            + (f"; frozen layers: {', '.join(frozen[:8])}{' …' if len(frozen) > 8 else ''}" if frozen else "")
            + ".\n  Set layer.trainable = True on what is to learn."
        )
    outside = [v.path for v in model.variables if not strategy.extended.variable_created_in_scope(v.value)]
    if outside:
        shown = ", ".join(outside[:3]) + (", …" if len(outside) > 3 else "")
        count = f"{len(outside)} of {len(model.variables)} variables of the model {model.name!r}"
        raise UserError(
            f"{count} were made outside the scope of {type(strategy).__name__} ({shown}), so that its "
            f"{strategy.num_replicas_in_sync} replicas have no copies of them.\n  Make the layers inside a function, "
            "which is called inside the scope: model=build_model (without brackets), or the function that "
            "config.model.name names; not at the top of a module, and not in a cache that lives longer than the call."
        )


def check_compiled(config: Config, models: Iterable[keras.Model], batchwide: bool, replicas: int) -> None:
    """Refuses XLA for a step that waits for other replicas midway: XLA cannot compile messages between them.

    Raises:
      UserError: with each reason and what to write instead.
    """
    if not config.train.jit_compile or replicas == 1:
        return
    synchronized = [layer.name for model in models for layer in _layers(model) if getattr(layer, "synchronized", False)]
    reasons = []
    if synchronized:
        reasons.append(
            f"{len(synchronized)} layers ({synchronized[0]}, …) synchronise their batch statistics in the middle of "
            "the step: --config.model.normalization=group has none"
        )
    if batchwide:
        reasons.append(
            f"the loss {config.loss.name} sums over the global batch in the middle of the step: take it per image "
            '(the option "over": "image")'
        )
    if reasons:
        raise UserError(
            f"config.train.jit_compile cannot be had with {replicas} replicas here: {numbered(reasons)}\n"
            "  Or go without XLA: --config.train.jit_compile=false"
        )


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers, those of nested models too."""
    # keras.Model has no public method for all nested layers.
    return model._flatten_layers(include_self=False, recursive=True)
