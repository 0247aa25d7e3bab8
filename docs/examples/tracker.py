"""Actions of your own: a tracker that keeps its place over a restart, and one that ends the run."""

import sqlite3
import uuid

import numpy as np

from configs.schema import Augment, Config, Evaluate, Model, Train
from trainer import Run

random = np.random.default_rng(0)
labels = np.zeros((40, 48, 48), "uint8")
for label in labels:
    row, column = random.integers(4, 30, 2)
    label[row : row + 14, column : column + 10] = 1
images = (random.normal(90, 25, labels.shape) + 60 * labels).clip(0, 255).astype("uint8")


class Tracker:
    """Writes reports and scores into a database, a row a number."""

    def __init__(self, path):
        self.path = path
        with sqlite3.connect(path) as database:
            database.execute("create table if not exists numbers (run, step, name, value, unique (run, step, name))")

    def __call__(self, run, step):
        # What is in `run.memory` is saved with the checkpoints: a restarted run is found under the same id.
        run_id = run.memory.setdefault("tracker", uuid.uuid4().hex)
        values = {f"train/{name}": value for name, value in run.report.items()} if run.report_step == step else {}
        if run.scores_step == step:
            values |= run.scores.scalars("eval/")
        rows = [(run_id, step, name, value) for name, value in values.items()]
        with sqlite3.connect(self.path) as database:
            database.executemany("insert or replace into numbers values (?, ?, ?, ?)", rows)


def good_enough(run, step):
    """A text that is returned ends the run."""
    if run.scores.score("mean_dice") > 0.95:
        return f"mean Dice is above 0.95 at step {step}"


tracker = Tracker("tracker.sqlite")
config = Config(
    model=Model(width=8, depth=2),
    train=Train(length="200 steps", batch_size=8, log_every="10 steps"),
    augment=Augment(crop=(48, 48)),
    evaluate=Evaluate(every="20 steps"),
)
actions = [("10 steps", tracker), ("evaluation", tracker), ("evaluation", good_enough)]
result = Run(config, workdir="runs/tracker", data=(images, labels), actions=actions).train()
print(result.reason)
query = "select step, value from numbers where name = 'eval/mean_dice' order by step"
print(sqlite3.connect("tracker.sqlite").execute(query).fetchall())
