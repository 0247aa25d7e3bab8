"""Evaluation: every validation example once, at its own size, over all replicas and workers; pictures of some of them.

One trace serves all sizes (a user's task has another for the first size), others those that are cut into tiles or at
seams. The device returns a few numbers for each image, and the image's arrays if a picture or a user's metric needs
them; the host waits for them only some images later, and all ratios are computed once, at the end.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from configs.reading.levels import rank_of
from configs.schema import Config
from trainer.data import evaluation_batches, evaluation_example
from trainer.evaluation.details import Details, probability_counts
from trainer.evaluation.metrics import (
    confusion_matrices,
    confusion_of,
    evaluation_of,
    image_counts,
    overlapping_counts,
)
from trainer.evaluation.own_metrics import Metric, mean_of
from trainer.evaluation.pictures import Picture, Pictures
from trainer.evaluation.term_scores import TermScores
from trainer.evaluation.volume_evaluator import make_volume_evaluator
from trainer.prediction.postprocessing import PostProcessing
from trainer.prediction.windows import Ways, logits_function
from trainer.stepping.segmentation import Segmentation, predicted, probabilities
from trainer.stepping.state import task_variables
from trainer.stepping.task import Examples, Task, terms_of
from trainer.tracing import traced

# Images whose numbers may still be on the device: enough to keep it busy, few enough to hold.
_IN_FLIGHT = 16
# Fewer large images: pixels of all that are waited for.
_PIXELS_IN_FLIGHT = 2**24

Evaluate = Callable[..., "tuple[object, list[Picture]] | None"]


def make_evaluator(
    task: Task,
    datasets,
    config: Config,
    strategy=None,
    *,
    metrics: Sequence[Metric] = (),
    postprocessing: PostProcessing | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    remark: Callable[[str], None] = lambda text: None,
) -> Evaluate:
    """Compiles the evaluation of a task once, for any number of calls.

    Args:
      task: built, in the strategy's scope. It is evaluated with its weights at the time of the call.
      datasets: has `validation` (a source with `names`), `classes` and `void_id`.
      config: `data` and `evaluate` are read.
      strategy: a `tf.distribute` strategy; by default the current one.
      metrics: the user's.
      postprocessing: that of the scored masks; the masks before it are also scored. Training has none.
      progress: called with the number of images done and the total, after each round.
      remark: called with a note when the first image comes that is cut into tiles or at seams.

    Returns:
      A function that returns the scores (an `Evaluation`, or `TermScores` for a task other than segmentation) and the
      pictures of the `config.evaluate.panels` worst images, and of two in the middle and the two best (see
      `trainer.evaluation.pictures`). Every worker must call it; each gets the same. Its argument `stop` is called
      before each image, and has to return the same on all workers; when it returns True the function returns None. Its
      attribute `terms` names the values of a task in the last call: "term/<name>", and "watched/<name>" for those that
      are only reported.
    """
    strategy = strategy or tf.distribute.get_strategy()
    source = datasets.validation
    if rank_of(config) == 3 and isinstance(task, Segmentation):
        more = {"metrics": metrics, "postprocessing": postprocessing, "progress": progress}
        return make_volume_evaluator(task, datasets, config, strategy, **more)
    contexts = []

    def local_batches(context):
        contexts.append(context)
        return evaluation_batches(
            source,
            config,
            # Padded on the device, as in prediction and the exported model: the same pixels get the same class.
            multiple=1,
            shard_index=context.input_pipeline_id,
            shard_count=context.num_input_pipelines,
            parts=context.num_replicas_in_sync // context.num_input_pipelines,
        )

    batches = strategy.distribute_datasets_from_function(local_batches)
    workers, replicas = contexts[0].num_input_pipelines, contexts[0].num_replicas_in_sync
    rounds = -(-len(source) // replicas)
    segments = isinstance(task, Segmentation)
    per_image = [metric for metric in metrics if not metric.of_confusion]
    with_probabilities = any("probabilities" in metric.parameters for metric in per_image)
    ways = Ways.of(task.model, config) if segments else None
    scored = {}
    post = postprocessing or PostProcessing(classes=tuple(datasets.classes))

    def finished(numbers: Mapping, arrays: Mapping):
        """An image's numbers and arrays, on the host, after post-processing."""
        if not post or not numbers["valid"]:
            return {"numbers": numbers, "arrays": arrays}
        label, before = arrays["label"].numpy(), arrays["prediction"].numpy()
        prediction = post(before, name=source.names[int(numbers["index"])])
        about = (len(datasets.classes), datasets.void_id, config.data.multi_label)
        changed = {"before": numbers["confusion"], "confusion": confusion_of(label, prediction, *about)}
        return {"numbers": {**numbers, **changed}, "arrays": {**arrays, "prediction": prediction}}

    def score_images(batch):
        # The graph that cuts large images, into tiles or at seams, is traced when the first of them comes.
        options = ways.options(strategy.experimental_local_results(batch["image"])) if segments else {}
        key = tuple(options.values())
        if key not in scored:
            about = (with_probabilities, post.cuts)
            scores_of = (
                _segmentation(task, datasets, config, *about, options) if segments else _terms(task, bool(per_image))
            )
            # A user's task may need the size while it is traced, as a dense layer does: if all images have the same
            # size, it is known; the first image of another size makes a trace for all sizes.
            kind = {"input_signature": [batches.element_spec]} if segments else {"reduce_retracing": True}
            scored[key] = traced(lambda batch: strategy.run(scores_of, args=(batch,)), **kind)
            if any(key):
                remark(ways.said(**options))
        return scored[key](batch)

    def evaluate(stop: Callable[[], bool] = lambda: False):
        tally = _Tally(
            len(source),
            len(datasets.classes) if segments else 0,
            per_image,
            datasets,
            config.data.multi_label,
            postprocessed=bool(post),
        )
        with _seeds_kept(task):
            scores = evaluate_all(tally, stop)
        evaluate.terms = list(tally.terms)
        return scores

    def evaluate_all(tally: _Tally, stop: Callable[[], bool]):
        pictures = Pictures(datasets, config.evaluate.panels if segments else 0, workers)
        in_flight = collections.deque()
        iterator, stopped = iter(batches), False
        for done in range(rounds):
            stopped = stop()
            if stopped:
                break
            found = score_images(next(iterator))
            for replica in range(replicas // workers):
                image = tf.nest.map_structure(lambda v, r=replica: strategy.experimental_local_results(v)[r], found)
                in_flight.append(image)
            while len(in_flight) > _IN_FLIGHT or len(in_flight) > 1 and _pixels(in_flight) > _PIXELS_IN_FLIGHT:
                image = finished(**in_flight.popleft())
                tally.add(**image)
                pictures.keep(**image)
            progress(min((done + 1) * replicas, len(source)), len(source))
        for image in in_flight:
            image = finished(**image)
            tally.add(**image)
            pictures.keep(**image)
        if stopped:
            return None
        if workers > 1:
            tally.sum_over_workers(strategy, replicas // workers)
        scores = tally.scores(datasets.classes, source.names, config, metrics)
        return scores, pictures.chosen(scores, again)

    def again(index: int) -> Mapping:
        """The arrays of an image, computed again; every worker has to call it, with the same image."""
        example = evaluation_example(source, config, index)
        if replicas == 1:
            batch = {key: tf.convert_to_tensor(value) for key, value in example.items()}
        else:
            batch = {
                key: strategy.experimental_distribute_values_from_function(lambda _, v=value: tf.convert_to_tensor(v))
                for key, value in example.items()
            }
        arrays = score_images(batch)["arrays"]
        arrays = {name: strategy.experimental_local_results(arrays[name])[0] for name in arrays}
        return arrays | ({"prediction": post(arrays["prediction"].numpy())} if post else {})

    evaluate.terms = []
    evaluate.trace_count = lambda: sum(function.experimental_get_tracing_count() for function in scored.values())
    return evaluate


@contextlib.contextmanager
def _seeds_kept(task: Task) -> Iterator[None]:
    """Keras's generators are put back afterwards, so that training goes on as without evaluation."""
    seeds = [variable for variable in task_variables(task).values() if variable.name == "seed_generator_state"]
    kept = [np.array(variable.numpy()) for variable in seeds]
    try:
        yield
    finally:
        for variable, value in zip(seeds, kept, strict=True):
            variable.assign(value)


def _pixels(images) -> int:
    return sum(int(np.prod(image["arrays"]["label"].shape)) for image in images if "label" in image["arrays"])


def _segmentation(
    task: Segmentation, datasets, config: Config, with_probabilities: bool, cuts: Sequence, options: Mapping[str, bool]
):
    classes, multi_label = len(datasets.classes), config.data.multi_label
    logits_of = logits_function(task.model, config, **options)

    def score_image(batch):
        label = batch["label"]
        logits = logits_of(batch)
        prediction = predicted(logits, multi_label)
        terms = task.objective(label, logits, batch)
        numbers = {
            "index": batch["index"][0],
            "valid": batch["valid"][0] > 0,
            "confusion": (
                overlapping_counts(label, prediction, datasets.void_id)
                if multi_label
                else confusion_matrices(label, prediction, classes, datasets.void_id)
            )[0],
            "loss": tf.cast(tf.add_n([tf.cast(term, tf.float32) for term in terms.values()]), tf.float32),
            **probability_counts(label, logits, classes, datasets.void_id, multi_label),
        }
        arrays = {key: value[0] for key, value in batch.items() if key not in ("index", "valid", "size")}
        arrays["prediction"] = (predicted(logits, multi_label, cuts) if cuts else prediction)[0]
        if with_probabilities:
            arrays["probabilities"] = probabilities(logits, multi_label)[0]
        return {"numbers": numbers, "arrays": arrays}

    return score_image


def _terms(task: Task, predicts: bool):
    """Scores an image by the task's terms, and with `predicts` passes on the arrays for the user's metrics."""

    def score_image(batch):
        outcome = task.evaluated(batch)
        terms = terms_of(outcome, None, task)
        values = {name: tf.reduce_mean(tf.cast(term, tf.float32)) for name, term in terms.items()}
        numbers = {"index": batch["index"][0], "valid": batch["valid"][0] > 0, "loss": tf.add_n(list(values.values()))}
        numbers |= {f"term/{name}": value for name, value in values.items()}
        numbers |= {f"watched/{name}": tf.cast(a / b, tf.float32) for name, (a, b) in outcome.ratios.items()}
        arrays = {key: value[0] for key, value in batch.items() if key not in ("index", "valid", "size")}
        if not predicts:
            return {"numbers": numbers, "arrays": {}}
        # An array, or a mapping or list of them, by the task.
        arrays["prediction"] = tf.nest.map_structure(
            lambda value: tf.convert_to_tensor(value)[0], task.predict(Examples(batch))
        )
        return {"numbers": numbers, "arrays": arrays}

    return score_image


class _Tally:
    """This process's counts, by the image's index; `classes` is 0 for a task other than segmentation."""

    def __init__(
        self,
        images: int,
        classes: int,
        per_image: Sequence[Metric],
        datasets,
        multi_label: bool = False,
        postprocessed: bool = False,
    ):
        self._per_image, self._classes, self._datasets = per_image, classes, datasets
        self._multi_label = multi_label
        self.details = Details(images, datasets.classes, datasets.void_id, multi_label) if classes else None
        self.seen = np.zeros([images], np.int64)
        self.counts = np.zeros([images, classes, 3], np.int64)
        # The same before post-processing.
        self.before = np.zeros([images if postprocessed else 0, classes, 3], np.int64)
        self.confusion = np.zeros([classes, 2, 2] if multi_label else [classes, classes], np.int64)
        self.losses = np.zeros([images], np.float64)
        self.own = np.zeros([images, len(per_image)], np.float64)
        # For a task: "term/<name>", and "watched/<name>" for values that are only reported.
        self.terms: dict[str, np.ndarray] = {}

    def add(self, *, numbers: Mapping, arrays: Mapping) -> None:
        if not numbers["valid"]:
            return
        position = int(numbers["index"])
        self.seen[position] += 1
        self.losses[position] = float(numbers["loss"])
        if self._classes:
            confusion = np.asarray(numbers["confusion"])
            self.counts[position] = image_counts(confusion, self._multi_label)
            self.confusion += confusion
            if len(self.before):
                self.before[position] = image_counts(np.asarray(numbers["before"]), self._multi_label)
            self.details.add(position, numbers, np.asarray(arrays["label"]), np.asarray(arrays["prediction"]))
        for name, value in numbers.items():
            if name.startswith(("term/", "watched/")):
                self.terms.setdefault(name, np.zeros_like(self.losses))[position] = float(value)
        if self._per_image:
            values = tf.nest.map_structure(np.asarray, dict(arrays))
            values |= {"classes": tuple(self._datasets.classes), "void_id": self._datasets.void_id}
            self.own[position] = [metric.of_image(values) for metric in self._per_image]

    def sum_over_workers(self, strategy, local_replicas: int) -> None:
        def total(values):
            if not values.size:
                return values  # TensorFlow's collective operations crash on empty tensors

            def first_replica_only(context):
                first = context.replica_id_in_sync_group % local_replicas == 0
                return tf.constant(values if first else np.zeros_like(values))

            spread = strategy.experimental_distribute_values_from_function(first_replica_only)
            return strategy.reduce(tf.distribute.ReduceOp.SUM, spread, axis=None).numpy()

        for name in ("seen", "counts", "before", "confusion", "losses", "own"):
            setattr(self, name, total(getattr(self, name)))
        for name in Details.SUMMED if self.details is not None else ():
            setattr(self.details, name, total(getattr(self.details, name)))
        self.terms = {name: total(values) for name, values in sorted(self.terms.items())}

    def scores(self, classes, names, config: Config, metrics: Sequence[Metric]):
        twice = [names[i] for i in np.flatnonzero(self.seen > 1)]
        if twice:
            raise RuntimeError(f"{len(twice)} validation images were counted more than once: {', '.join(twice[:5])}.")
        seen = np.flatnonzero(self.seen)
        columns = zip(self._per_image, self.own[seen].T, strict=True)
        values = {metric.name: mean_of(column) for metric, column in columns}
        if not self._classes:
            terms, watched = (
                {name.removeprefix(kind): column for name, column in self.terms.items() if name.startswith(kind)}
                for kind in ("term/", "watched/")
            )
            return TermScores(
                images=len(seen),
                loss=mean_of(self.losses[seen]),
                terms={name: mean_of(column[seen]) for name, column in terms.items()},
                metrics={name: mean_of(column[seen]) for name, column in watched.items()} | values,
                rows=tuple(
                    {"name": names[i], "loss": self.losses[i]}
                    | {f"loss/{name}": column[i] for name, column in terms.items()}
                    | {name: column[i] for name, column in watched.items()}
                    | {m.name: value for m, value in zip(self._per_image, self.own[i], strict=True)}
                    for i in seen
                ),
            )
        values |= {metric.name: metric.of_counts(self.confusion) for metric in metrics if metric.of_confusion}
        return evaluation_of(
            self.counts[seen],
            self.confusion,
            classes,
            chosen=config.evaluate.classes,
            names=[names[i] for i in seen],
            losses=self.losses[seen],
            metrics={metric.name: values[metric.name] for metric in metrics},
            metrics_by_image={m.name: column for m, column in zip(self._per_image, self.own[seen].T, strict=True)},
            plain=self.before[seen] if len(self.before) else None,
            more={"labels": self.details.labels[seen], **self.details.to_dict()},
        )
