"""Nuclei in light microscopy: the embedded default, offline, minutes on a CPU."""

from configs.schema import Augment, Checkpoint, Config, Evaluate, Model, Optimizer, Train


def get_config() -> Config:
    return Config(
        name="nuclei",
        model=Model(width=8, depth=4),
        # Microscopy has no up and down, and every image is brought to mean 0 and deviation 1 in the model, so that
        # brightness and contrast have nothing to add. Zooming blurs the contours that most of the score is made of.
        augment=Augment(crop=(128, 128), scale=(1.0, 1.0), brightness=0.0, contrast=0.0),
        optimizer=Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine", warmup="5%", ema_decay=0.99),
        train=Train(length="2000 steps", batch_size=8),
        evaluate=Evaluate(every="25%"),
        checkpoint=Checkpoint(every="25%"),
    )
