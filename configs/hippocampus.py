"""Hippocampus in MRI volumes, front and rear part: the Medical Segmentation Decathlon's Task04. Say where it is:

    python main.py --config=configs/hippocampus.py --config.data.path=FOLDER

FOLDER is the unpacked Task04_Hippocampus.tar of http://medicaldecathlon.com (imagesTr/, labelsTr/, dataset.json), or
images/ and labels/ with the same names.
"""

from configs.schema import Augment, Checkpoint, Config, Data, Evaluate, Loss, Model, Optimizer, Train


def get_config() -> Config:
    return Config(
        name="hippocampus",
        data=Data(source="volumes", classes=("background", "anterior", "posterior")),
        augment=Augment(
            crop=(32, 48, 32),
            # Left and right hippocampi occur; front and rear are classes.
            flip_depth=False,
            flip_vertical=False,
            flip_horizontal=True,
            quarter_turns=False,
            scale=(0.85, 1.2),
            rotate=15.0,
            gamma=0.3,
            noise=0.2,
            share=0.2,
        ),
        model=Model(
            width=16,
            depth=3,
            normalization="instance",
            upsampling="transpose",
            input_scaling="none",
        ),
        # Background is 95 % of the voxels: its Dice says nothing.
        loss=Loss(name="dice+cross_entropy", options={"dice": {"include_background": False}}),
        optimizer=Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine", warmup="5%", ema_decay=0.99),
        train=Train(length="1800 steps", batch_size=2),
        evaluate=Evaluate(every="50%", mirror=True, classes=("anterior", "posterior")),
        checkpoint=Checkpoint(every="50%"),
    )
