"""The score that picks the best checkpoint and stops early: built in, a term of a task, or a user's metric."""

from __future__ import annotations

from collections.abc import Sequence

from configs.reading.fields import all_fields
from configs.reading.levels import rank_of
from configs.reading.nearest import did_you_mean
from configs.reading.validation_volumes import SCORES as VOLUME_SCORES
from configs.schema import Config
from trainer.errors import UserError, numbered
from trainer.evaluation.own_metrics import Metric
from trainer.stepping.segmentation import Segmentation
from trainer.stepping.task import Task

_HIGHEST = ("mean_dice", "mean_iou", "pixel_accuracy", "surface_dice")
# The scores of a segmentation.
SCORES = all_fields()["evaluate.metric"].knob.names


def best_score(config: Config, task: Task) -> str:
    """The name of the deciding score; a task without classes has no Dice, so its loss decides."""
    metric = config.evaluate.metric
    return metric if isinstance(task, Segmentation) or metric not in SCORES else "loss"


def highest_is_best(config: Config, score: str, metrics: Sequence[Metric]) -> bool:
    if config.evaluate.best != "auto":
        return config.evaluate.best == "highest"
    return score in {metric.name for metric in metrics} or score in _HIGHEST


def check_metrics(metrics: Sequence[Metric], config: Config, task: Task, keys: Sequence[str]) -> None:
    """Checks that everything needed by the metrics exists, and the deciding score.

    Args:
      metrics: the user's.
      config: `evaluate.metric` is read.
      task: the run's.
      keys: the examples' keys.

    Raises:
      UserError: with everything that is missing.
    """
    known = {*keys, "image", "label", "prediction", "classes", "void_id"}
    of_segmentation = "spacing" if rank_of(config) == 3 else "probabilities"
    known |= {of_segmentation} if isinstance(task, Segmentation) else set()
    unknown = [
        f"the metric {metric.name} takes {name}, and there is {', '.join(sorted(known))}."
        for metric in metrics
        for name in metric.parameters
        if name not in known
    ]
    if not isinstance(task, Segmentation):
        unknown += [
            f"the metric {metric.name} has one parameter, the confusion counts, which a task of your own has not: "
            f"write def {metric.name}(label, prediction), of one example (label is None where there is none)."
            for metric in metrics
            if metric.of_confusion
        ]
    if unknown:
        raise UserError(numbered(unknown))
    wanted, own = config.evaluate.metric, [metric.name for metric in metrics]
    names = (*own, *SCORES, *(VOLUME_SCORES if rank_of(config) == 3 else ()))
    if isinstance(task, Segmentation) and wanted not in names:
        raise UserError(
            f"config.evaluate.metric={wanted!r}: there is no such score. It is one of {', '.join(names)}."
            f"{did_you_mean(wanted, names)}"
        )


def check_terms(wanted: str, terms: Sequence[str], watched: Sequence[str], metrics: Sequence[Metric]) -> None:
    """Whether a task has the score that decides, and each of its scores a name of its own.

    Args:
      wanted: the score that decides.
      terms, watched: what `Task.losses` gives to be minimised, and to be reported alone.
      metrics: of the user's.

    Raises:
      UserError: with both.
    """
    own = [metric.name for metric in metrics]
    problems = [
        f"{name} is the name of a metric and of a term of the task's losses. Give each a name of its own."
        for name in own
        if name in terms or name in watched
    ]
    names = ["loss", *terms, *(f"loss/{name}" for name in terms), *watched, *own]
    if wanted not in names:
        problems.append(
            f"config.evaluate.metric={wanted!r}: there is no such score. It is one of {', '.join(names)}."
            f"{did_you_mean(wanted, names)}"
        )
    if problems:
        raise UserError(numbered(problems))
