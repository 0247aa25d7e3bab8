"""Held-out examples with their labels and the probabilities of a network that was not trained on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trainer.data import evaluation_batches
from trainer.prediction.windows import Ways, logits_function
from trainer.reporting.memory.out_of_memory import explaining_memory
from trainer.stepping.segmentation import probabilities
from trainer.tracing import traced


def judged(run) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Goes through a run's validation examples with its best checkpoint, one at a time.

    Args:
      run: of a segmentation.

    Yields:
      the example's place in `run.data.validation`; its label, int32 `[height, width]`; its probabilities, float32
      `[height, width, classes]`.
    """
    config, functions = run.config, {}
    batches = evaluation_batches(run.data.validation, config, multiple=1)
    ways = Ways.of(run.task.model, config)

    def probabilities_of(batch):
        # What cuts large images, or takes them apart, is traced when the first of them comes.
        options = ways.options([batch["image"]])
        key = tuple(options.values())
        if key not in functions:
            logits_of = logits_function(run.task.model, config, **options)
            functions[key] = traced(
                lambda batch: probabilities(logits_of(batch))[0], input_signature=[batches.element_spec]
            )
        return functions[key](batch).numpy()

    with run.weights("best"), explaining_memory(config, "evaluation"):
        for batch in batches:
            if batch["valid"][0] > 0:
                yield int(batch["index"][0]), batch["label"][0].numpy(), probabilities_of(batch)
