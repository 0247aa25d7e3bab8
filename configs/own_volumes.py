"""Volumes of your own: `python main.py --config.data.path=FOLDER` uses this recipe where the folder holds 3-D images.

Layout, classes, channels, spacing and the scale of intensities are recognised and reported; see docs/volumes.md.
No flips: organs have a side. On a CPU halve the sides of the crop. Copy it and change what is known better:
`--mode=check` shows sizes, shares and pictures.
"""

from configs.schema import Augment, Config, Data, Evaluate, Loss, Model, Optimizer, Train


def get_config() -> Config:
    return Config(
        name="own_volumes",
        data=Data(source="volumes"),
        augment=Augment(
            crop=(64, 96, 96),
            flip_depth=False,
            flip_vertical=False,
            flip_horizontal=False,
            quarter_turns=False,
            scale=(0.7, 1.4),
            rotate=30.0,
            gamma=0.5,
            noise=0.3,
            blur=1.0,
            coarsen=2.0,
            foreground=0.33,
        ),
        model=Model(
            width=24,
            depth=4,
            most_channels=320,
            normalization="instance",
            upsampling="transpose",
            input_scaling="none",
            deep_supervision=True,
        ),
        # Over the batch: a small structure that one crop hardly holds would make its Dice jump.
        loss=Loss(name="dice+cross_entropy", options={"dice": {"over": "batch"}}),
        optimizer=Optimizer(name="adamw", learning_rate=1e-3, ema_decay=0.99),
        train=Train(length="10000 steps", batch_size=2),
        evaluate=Evaluate(every="10%"),
    )
