"""Hippocampus in MRI volumes, front and rear part: the Medical Segmentation Decathlon's Task04. Say where it is:

    python main.py --config=configs/hippocampus.py --config.data.path=FOLDER

FOLDER is the unpacked Task04_Hippocampus.tar of http://medicaldecathlon.com (imagesTr/, labelsTr/, dataset.json),
or images/ and labels/ with the same names, and train.txt and val.txt where the split is given.

Measured with 52 volumes to train on and 16 to evaluate (seed 0): mean Dice 0.884 (front 0.887, rear 0.880), surface
Dice within 1 mm 0.96, Hausdorff 95 1.7 mm. The whole command took 14:20 of processor time of a CPU with AVX-512; a
recipe of 900 steps in place of 2400 has 0.878.
Published: nnU-Net 0.90 and 0.89 (Isensee et al. 2021), with four times as many volumes. Data: CC BY-SA 4.0.
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
        optimizer=Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine", warmup="5%", ema_decay=0.99),
        train=Train(length="2400 steps", batch_size=2),
        evaluate=Evaluate(every="100%", mirror=True, classes=("anterior", "posterior")),
        checkpoint=Checkpoint(every="50%"),
    )
