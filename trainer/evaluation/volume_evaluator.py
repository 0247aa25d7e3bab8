"""Evaluation of volumes: every case once, at its image's own spacing, each worker with its share of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data.errors import DataError
from trainer.evaluation.metrics import confusion_of, evaluation_of, image_counts, scored_classes
from trainer.evaluation.own_metrics import Metric, mean_of
from trainer.evaluation.pictures import Pictures
from trainer.evaluation.volume_scores import MEASURES, measured, united
from trainer.prediction.postprocessing import PostProcessing
from trainer.prediction.volume_windows import VolumeNetwork
from trainer.reporting.volume_panels import volume_planes
from trainer.stepping.segmentation import Segmentation
from trainer.tracing import traced

# Numbers of logits up to which they are kept for the loss of a whole volume, float32.
_MOST_LOGITS = 2**26


def make_volume_evaluator(
    task: Segmentation,
    datasets,
    config: Config,
    strategy: tf.distribute.Strategy,
    *,
    metrics: Sequence[Metric] = (),
    postprocessing: PostProcessing | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
):
    """As `make_evaluator`, of volumes. The loss is that of a whole volume, of those that are small enough to hold.

    Labels and predictions are compared on the grid of the image's file. A metric of the user's is given them as
    int32 `[depth, height, width]`, and by name "spacing" (mm), "classes", "void_id", "probabilities"
    `[depth, height, width, classes]`, and "image" where the network sees that very grid.
    """
    source, classes = datasets.validation, tuple(datasets.classes)
    post = postprocessing or PostProcessing(classes=classes, rank=3)
    network = VolumeNetwork(task.model, config, post.cuts)
    worker, workers, local = _place(strategy)
    per_image = [metric for metric in metrics if not metric.of_confusion]
    with_probabilities = any("probabilities" in metric.parameters for metric in per_image)
    scored = scored_classes(classes, config.evaluate.classes)
    regions = {name: (classes.index(name),) for name in scored} | dict(getattr(source, "regions", {}))
    outputs = network.outputs

    def loss(label, logits):
        return tf.add_n([tf.cast(term, tf.float32) for term in task.objective(label, logits).values()])

    space = [1, None, None, None]
    loss_of = traced(loss, input_signature=[tf.TensorSpec(space, tf.int32), tf.TensorSpec([*space, outputs])])

    def case_of(index: int, example) -> _Case:
        wanted = with_probabilities or bool(post.cuts)
        return _case(network, source, index, example, loss_of, post, with_probabilities=wanted)

    def evaluate(stop: Callable[[], bool] = lambda: False):
        cases = len(source)
        seen = np.zeros([cases], np.int64)
        counts, losses = np.zeros([cases, len(classes), 3], np.int64), np.zeros([cases], np.float64)
        confusion, plain = np.zeros([len(classes)] * 2, np.int64), np.zeros_like(counts)
        own = np.zeros([cases, len(per_image)], np.float64)
        found = np.zeros([cases, len(regions), len(MEASURES)], np.float64)
        pictures = VolumePictures(datasets, config.evaluate.panels, workers)
        for first in range(0, cases, workers):
            if stop():
                return None
            index = first + worker
            if index < cases and (example := _loaded(source, index, config)) is not None:
                case = case_of(index, example)
                label, prediction, spacing, losses[index] = case.label, case.prediction, case.spacing, case.loss
                if post:
                    before = confusion_of(label, case.before, len(classes), datasets.void_id)
                    plain[index] = image_counts(before)
                matrix = confusion_of(label, prediction, len(classes), datasets.void_id)
                seen[index], counts[index] = 1, image_counts(matrix)
                confusion += matrix
                valid = label != datasets.void_id
                for row, ids in enumerate(regions.values()):
                    masks = (np.isin(label, ids) & valid, np.isin(prediction, ids) & valid)
                    found[index, row] = measured(*masks, spacing, config.evaluate.surface_tolerance)
                values = {"label": label.astype(np.int32), "prediction": prediction.astype(np.int32)}
                values |= {"spacing": spacing, "classes": classes, "void_id": datasets.void_id}
                values |= {"image": example.image} if example.image.shape[:3] == label.shape else {}
                values |= {"probabilities": case.probabilities} if with_probabilities else {}
                own[index] = [metric.of_image(values) for metric in per_image]
                pictures.keep(
                    numbers={"valid": True, "index": index}, arrays=shown(example, label, prediction, spacing)
                )
            progress(min(first + workers, cases), cases)
        if workers > 1:
            arrays = (seen, counts, plain, confusion, losses, own, found)
            seen, counts, plain, confusion, losses, own, found = (_summed(a, strategy, local) for a in arrays)
        kept = np.flatnonzero(seen)
        values = {metric.name: mean_of(column) for metric, column in zip(per_image, own[kept].T, strict=True)}
        values |= {metric.name: metric.of_counts(confusion) for metric in metrics if metric.of_confusion}
        scores = evaluation_of(
            counts[kept],
            confusion,
            classes,
            chosen=config.evaluate.classes,
            names=[source.names[i] for i in kept],
            losses=losses[kept],
            metrics={metric.name: values[metric.name] for metric in metrics},
            metrics_by_image={m.name: column for m, column in zip(per_image, own[kept].T, strict=True)},
            volumes=united({name: found[kept, row] for row, name in enumerate(regions)}),
            plain=plain[kept] if post else None,
        )
        return scores, pictures.chosen(scores, again)

    def shown(example, label, prediction, spacing) -> dict:
        """What pictures are made of."""
        box = example.place.box if getattr(example, "place", None) else None
        return {"image": example.image, "label": label, "prediction": prediction, "spacing": spacing, "box": box}

    def again(index: int) -> dict:
        """The same of one case, once more."""
        example = source.load_compact(index)
        case = case_of(index, example)
        return shown(example, case.label, case.prediction, case.spacing)

    evaluate.trace_count = lambda: 1
    return evaluate


class VolumePictures(Pictures):
    """Pictures of volumes: three planes through the largest structure of each that is shown."""

    def _shrunk(self, arrays):
        return volume_planes(**arrays, void_id=self._datasets.void_id)


def _place(strategy) -> tuple[int, int, int]:
    """This worker's number, the number of workers, and of this worker's replicas."""
    replicas, mine = strategy.num_replicas_in_sync, []
    if replicas == 1:
        return 0, 1, 1

    def note(context):
        mine.append(context.replica_id_in_sync_group)
        return tf.zeros([])

    strategy.experimental_distribute_values_from_function(note)
    return min(mine) // len(mine), replicas // len(mine), len(mine)


def _summed(values: np.ndarray, strategy, local: int) -> np.ndarray:
    """The sum over the workers of what each has, zeros but for its own cases: NaN and infinity stay what they are."""
    if not values.size:
        return values

    def first_replica_only(context):
        return tf.constant(values if context.replica_id_in_sync_group % local == 0 else np.zeros_like(values))

    spread = strategy.experimental_distribute_values_from_function(first_replica_only)
    return strategy.reduce(tf.distribute.ReduceOp.SUM, spread, axis=None).numpy()


def _loaded(source, index: int, config: Config):
    try:
        return source.load_compact(index)
    except DataError as error:
        if config.data.bad_files != "skip":
            raise
        source.skipped[source.names[index]] = str(error)
        return None


@dataclasses.dataclass(frozen=True)
class _Case:
    """A case on the grid of its file: class ids after and before post-processing, `[depth, height, width]`.

    spacing: of its voxels, mm.
    loss: on the network's grid, NaN where it is too large to be held.
    probabilities: `[depth, height, width, classes]`, where they are wanted.
    """

    label: np.ndarray
    prediction: np.ndarray
    before: np.ndarray
    spacing: tuple[float, ...]
    loss: float
    probabilities: np.ndarray | None


def _case(
    network: VolumeNetwork, source, index: int, example, loss_of, post: PostProcessing, *, with_probabilities: bool
) -> _Case:
    place = getattr(example, "place", None)
    space = example.image.shape[:3]
    box_shape = space if place is None else place.box_shape
    kept = [] if np.prod(space) * network.outputs <= _MOST_LOGITS and example.label is not None else None
    probabilities = np.empty([*box_shape, max(network.outputs, 2)], np.float32) if with_probabilities else None
    prediction = network.class_ids(example.image, box_shape, kept, probabilities)
    loss = float("nan")
    if kept is not None:
        label = tf.convert_to_tensor(np.asarray(example.label, np.int32)[None])
        loss = float(loss_of(label, tf.convert_to_tensor(np.stack(kept)[None])))
    label, spacing = example.label, tuple(getattr(example, "spacing", (1.0,) * 3))
    if place is not None:
        prediction, label, spacing = place.whole(prediction), source.reader.label(index, place), place.spacing
        if probabilities is not None:
            inside, probabilities = probabilities, np.zeros([*place.shape, probabilities.shape[-1]], np.float32)
            probabilities[..., 0] = 1.0
            probabilities[place.box] = inside
    before = probabilities.argmax(axis=-1) if post.cuts else prediction
    prediction = post(prediction, spacing, name=source.names[index])
    return _Case(label, prediction, before, spacing, loss, probabilities)
