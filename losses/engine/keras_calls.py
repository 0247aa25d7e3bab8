"""How Keras calls a loss: sample weights, replicas, configurations that can be saved."""

from collections.abc import Callable

import tensorflow as tf

# The package Keras saves the classes under, whatever the folder is called.
REGISTERED = "gradline_losses"


def weights_of(sample_weight, y_pred: tf.Tensor) -> dict[str, tf.Tensor]:
    """Keras's `sample_weight` as the option it stands for, so that it acts inside the loss's sums.

    Raises:
        ValueError: weights that are neither `[batch]` nor `[batch, *space]`, perhaps with a last axis of 1.
    """
    if sample_weight is None:
        return {}
    sample_weight = tf.convert_to_tensor(sample_weight)
    rank, pred_rank = sample_weight.shape.rank, y_pred.shape.rank
    if rank == 1 or (rank == 2 and sample_weight.shape[1] == 1 and pred_rank > 3):
        return {"image_weights": tf.reshape(sample_weight, [-1])}
    if rank in (pred_rank - 1, pred_rank):
        return {"pixel_weights": sample_weight}
    raise ValueError(
        "sample_weight must be [batch], one factor for each image, or [batch, *space], one for each pixel.\n"
        f"Received: sample_weight of shape {sample_weight.shape}, y_pred of shape {y_pred.shape}"
    )


def sums_over_replicas() -> Callable[[tf.Tensor], tf.Tensor] | None:
    """The `all_reduce` of the strategy that is running, or None where one replica has the whole batch."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return lambda sums: context.all_reduce(tf.distribute.ReduceOp.SUM, sums)


def share_of_replica(mean: tf.Tensor) -> tf.Tensor:
    """A mean divided by the number of replicas: Keras adds the gradients of all of them."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return mean if replicas == 1 else mean / replicas


def plain(value):
    """Arrays and tensors, also in dictionaries and lists, as the lists that Keras gives back from a file."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    value = value.numpy() if hasattr(value, "numpy") else value
    return value.tolist() if hasattr(value, "tolist") else value
