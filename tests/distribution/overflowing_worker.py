"""A worker for test_workers: six float16 steps, the fourth overflows on the last replica; tells what is left."""

import hashlib
import json

import numpy as np

from configs.schema import Config
from tests.stepping import replica_runs as runs
from trainer.distribution import strategy

if __name__ == "__main__":
    devices = strategy.choose(Config())
    data = runs.batches(6)
    # The last image is the last replica's: only one worker sees the overflow in its own gradients.
    data[3]["image"][-1] = np.inf
    config = runs.tiny(train={"accumulate": 1})
    made = runs.make_block(config, devices.replicas, policy="mixed_float16", strategy=devices.strategy)
    made.run(data)
    weights = {name: value for name, value in made.weights().items() if value.dtype.kind == "f"}
    print(
        json.dumps(
            {
                "skipped": int(made.state.skipped.numpy()),
                "last_skipped": int(made.state.recent_skipped.numpy()[-1]),
                "scale": float(made.state.loss_scale.scale.numpy()),
                "finite": all(bool(np.isfinite(value).all()) for value in weights.values()),
                "digest": hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights))).hexdigest(),
            }
        ),
        flush=True,
    )
