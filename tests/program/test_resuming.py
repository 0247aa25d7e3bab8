"""What a run says when it goes on."""

import logging

import numpy as np
import pytest

from configs.schema import Augment, Config, Data, Evaluate, Model, Train
from trainer import Run


@pytest.fixture
def said():
    """Lines of the logger."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("gradline").addHandler(handler)
    yield lines
    logging.getLogger("gradline").removeHandler(handler)


def test_a_run_that_was_stopped_before_an_evaluation_says_that_it_begins_with_it(tmp_path, said):
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    data = images, (images[..., 0] > 128).astype(np.uint8)
    config = Config(
        data=Data(classes=("background", "disc")),
        model=Model(width=4, depth=1),
        augment=Augment(crop=(16, 16)),
        train=Train(length="8 steps", batch_size=2),
        evaluate=Evaluate(every="4 steps", panels=0),
    )

    def run():
        return Run(config, workdir=tmp_path, data={"train": data, "validation": data})

    first = run()
    assert first.train(stop=lambda: first.current_step == 4).stopped
    said.clear()

    again = run()
    again.train(stop=lambda: False)

    resuming = [line for line in said if line.startswith("Resuming at step 4")]
    assert len(resuming) == 1 and "begins with what was due there: an evaluation" in resuming[0]
    assert [line.split()[1] for line in said if line.startswith("eval ")] == ["4/8", "8/8"]
