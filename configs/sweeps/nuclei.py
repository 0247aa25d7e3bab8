"""The rate, its decay and the loss of the nuclei recipe, in some five full trainings' time.

python main.py --mode=sweep --sweep=configs/sweeps/nuclei.py
"""

from configs.sweep import Sweep, between, one_of


def get_sweep() -> Sweep:
    return Sweep(
        ranges={
            "optimizer.learning_rate": between(3e-4, 3e-2, log=True),
            "optimizer.weight_decay": between(1e-5, 1e-1, log=True),
            "loss.name": one_of("dice", "cross_entropy", "dice+cross_entropy"),
            "augment.contrast": between(0.0, 0.4),
        },
        trials=20,
    )
