"""Evaluation: every validation image once, at its own size, over all replicas and workers; pictures of the first few.

One trace serves all sizes. The device hands back a small matrix of counts an image; the host waits for it only some
images later, and all ratios are taken once, at the end.
"""

from __future__ import annotations

import collections
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data import evaluation_batches
from trainer.evaluation.metrics import Evaluation, class_ids, confusion_matrices, evaluation_of, image_counts
from trainer.evaluation.windows import logits_function
from trainer.models import size_multiple
from trainer.reporting.panels import panel

# Images whose counts may still be on the device: enough to keep it busy, few enough to hold.
_IN_FLIGHT = 16


def make_evaluator(
    model, datasets, config: Config, strategy=None, *, objective: Callable | None = None
) -> Callable[..., tuple[Evaluation, dict[str, np.ndarray]] | None]:
    """Compiles the evaluation of a model once, to be called as often as wanted.

    Args:
      model: float32 images `[1, height, width, channels]`, 0..255, to float32 logits `[1, height, width, outputs]`;
        built, in the strategy's scope. It is evaluated with the weights it has at the call.
      datasets: has `validation` (a source with `names`), `classes` and `void_id`.
      config: `data` and `evaluate` are read.
      strategy: a `tf.distribute` strategy; None is the current one.
      objective: (labels int32 `[1, height, width]`, logits `[1, height, width, outputs]`) -> a value whose `total` is
        the image's loss; the mean over images is reported as `Evaluation.loss`.

    Returns:
      A function that returns the scores and the panels, tag -> RGB uint8 `[h, w, 3]`, of the first
      `config.evaluate.panels` images that this process sees. Every worker must call it; each gets the same scores. Its
      argument `stop` is asked before each image, and has to answer alike on all workers; when it says yes the function
      returns None.
    """
    strategy = strategy or tf.distribute.get_strategy()
    source, classes = datasets.validation, len(datasets.classes)
    contexts = []

    def local_batches(context):
        contexts.append(context)
        return evaluation_batches(
            source,
            config,
            # Padded on the device, as prediction and the exported model do it: the same pixels get the same class.
            multiple=1,
            shard_index=context.input_pipeline_id,
            shard_count=context.num_input_pipelines,
            parts=context.num_replicas_in_sync // context.num_input_pipelines,
        )

    batches = strategy.distribute_datasets_from_function(local_batches)
    workers, replicas = contexts[0].num_input_pipelines, contexts[0].num_replicas_in_sync
    steps = -(-len(source) // replicas)
    logits_of = logits_function(model, config, size_multiple(config))

    def count_image(batch):
        image, label = batch["image"], batch["label"]
        logits = logits_of(image)
        prediction = class_ids(logits)
        found = {
            "index": batch["index"][0],
            "valid": batch["valid"][0] > 0,
            "confusion": confusion_matrices(label, prediction, classes, datasets.void_id)[0],
            "loss": tf.constant(0.0),
            "image": image[0],
            "label": label[0],
            "prediction": prediction[0],
        }
        if objective is not None:
            found["loss"] = tf.cast(objective(label, logits).total, tf.float32)
        return found

    @tf.function(input_signature=[batches.element_spec])
    def count_images(batch):
        return strategy.run(count_image, args=(batch,))

    def evaluate(stop: Callable[[], bool] = lambda: False):
        tally = _Tally(len(source), classes)
        pictures = {}
        in_flight = collections.deque()
        iterator = iter(batches)
        for _ in range(steps):
            if stop():
                return None
            found = count_images(next(iterator))
            local = {name: strategy.experimental_local_results(value) for name, value in found.items()}
            for replica in range(len(local["index"])):
                one = {name: values[replica] for name, values in local.items()}
                if len(pictures) < config.evaluate.panels and one["valid"]:
                    tag = f"panels/{source.names[int(one['index'])]}"
                    pictures[tag] = panel(
                        *(one[name].numpy() for name in ("image", "label", "prediction")),
                        classes=datasets.classes,
                        void_id=datasets.void_id,
                    )
                in_flight.append({name: one[name] for name in ("index", "valid", "confusion", "loss")})
            while len(in_flight) > _IN_FLIGHT:
                tally.add(**in_flight.popleft())
        for one in in_flight:
            tally.add(**one)
        if workers > 1:
            tally.sum_over_workers(strategy, replicas // workers)
        return tally.evaluation(datasets.classes, source.names, config, with_loss=objective is not None), pictures

    evaluate.trace_count = count_images.experimental_get_tracing_count
    return evaluate


class _Tally:
    """What this process has counted, by the image's index."""

    def __init__(self, images: int, classes: int):
        self.seen = np.zeros([images], np.int64)
        self.counts = np.zeros([images, classes, 3], np.int64)
        self.confusion = np.zeros([classes, classes], np.int64)
        self.losses = np.zeros([images], np.float64)

    def add(self, *, index, valid, confusion, loss) -> None:
        if valid:
            position = int(index)
            self.seen[position] += 1
            self.counts[position] = image_counts(confusion.numpy())
            self.confusion += confusion.numpy()
            self.losses[position] = float(loss)

    def sum_over_workers(self, strategy, local_replicas: int) -> None:
        for name in ("seen", "counts", "confusion", "losses"):
            values = getattr(self, name)

            def first_replica_only(context, values=values):
                first = context.replica_id_in_sync_group % local_replicas == 0
                return tf.constant(values if first else np.zeros_like(values))

            spread = strategy.experimental_distribute_values_from_function(first_replica_only)
            setattr(self, name, strategy.reduce(tf.distribute.ReduceOp.SUM, spread, axis=None).numpy())

    def evaluation(self, classes, names, config: Config, *, with_loss: bool) -> Evaluation:
        twice = [names[i] for i in np.flatnonzero(self.seen > 1)]
        if twice:
            raise RuntimeError(f"{len(twice)} validation images were counted more than once: {', '.join(twice[:5])}.")
        seen = np.flatnonzero(self.seen)
        return evaluation_of(
            self.counts[seen],
            self.confusion,
            classes,
            chosen=config.evaluate.classes,
            names=[names[i] for i in seen],
            losses=self.losses[seen] if with_loss else (),
        )
