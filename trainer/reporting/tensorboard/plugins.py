"""Summaries for TensorBoard's plugins: HParams, PR curves, histograms, charts of several curves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.hparams import api_pb2, summary, summary_v2
from tensorboard.plugins.pr_curve.summary import raw_data_pb

from configs.reading import fields
from trainer.reporting import tags

# Bins of a histogram.
_BUCKETS = 20


def hparams(config, workdir: str):
    """The config's fields, each by its path; lists and mappings as text.

    All of them, so that a field changed by one run has its value in the table for every run.
    """
    values = {}
    for path in fields.all_fields():
        value = fields.get(config, path)
        values[path] = value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
    # With the folder around it: otherwise runs of the same name, trial_00000 of two sweeps, would be one row.
    name = os.sep.join(os.path.abspath(workdir).split(os.sep)[-2:])
    return summary_v2.hparams_pb(values, trial_id=name)


def hparams_end(succeeded: bool):
    """The summary for the end of a run."""
    return summary.session_end_pb(api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE)


def precision_recall(found: Mapping) -> list:
    """A PR curve for each class that occurs in a label, from `Evaluation.precision_recall`."""
    summaries = []
    for name, true_positives in (found.get("true_positives") or {}).items():
        # The plugin's thresholds are spread from 0 to 1; nothing is counted at 1 itself.
        tp = np.array([*true_positives, 0], np.float64)
        fp = np.array([*found["false_positives"][name], 0], np.float64)
        fn, tn = tp[0] - tp, fp[0] - fp
        if not tp[0]:
            continue
        precision = np.divide(tp, tp + fp, out=np.ones_like(tp), where=tp + fp > 0)
        summaries.append(
            raw_data_pb(
                f"{tags.PRECISION_RECALL}/{name}",
                tp,
                fp,
                tn,
                fn,
                precision,
                tp / tp[0],
                num_thresholds=len(tp),
                description="Of all pixels of the validation images whose label is no void.",
            )
        )
    return summaries


def layer_norms(norms: Mapping[str, np.ndarray]) -> list:
    """A histogram for each layer: layer -> its gradient's norms at some steps."""
    return [
        histogram_pb(f"{tags.LAYER_NORMS}/{layer}", np.asarray(values, np.float64), buckets=_BUCKETS)
        for layer, values in norms.items()
    ]


def charts(classes: Sequence[str]):
    """Charts with several curves each, for the tab Custom Scalars."""

    def chart(title: str, *patterns: str):
        return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=patterns))

    together = [
        chart("Loss: training and validation", "train/loss$", "eval/loss$"),
        chart("Terms of the loss", "train/loss/.*", "eval/loss/.*"),
    ]
    scores = []
    if classes:
        scores = [
            chart("Dice: training crops and validation", "train/dice$", "eval/mean_dice$"),
            chart("Dice by class", "eval/dice/.*"),
            chart("IoU by class", "eval/iou/.*"),
        ]
    machine = [
        chart("Images a second", "train/images_per_second$"),
        chart("Share of the time in which a step waits for its batch", "train/waiting_for_data$"),
        chart("Memory, GiB", "train/memory/.*"),
        chart("Epoch", "train/epoch$"),
    ]
    optimizer = [chart("Learning rate", "train/learning_rate.*"), chart("Gradient norm", "train/gradient_norm.*")]
    categories = [
        layout_pb2.Category(title="Training and validation", chart=[*together, *scores]),
        layout_pb2.Category(title="Optimizer", chart=optimizer),
        layout_pb2.Category(title="Speed and memory", chart=machine),
    ]
    return custom_scalar.pb(layout_pb2.Layout(category=categories))
