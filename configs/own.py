"""Data of your own, about which nothing is known yet: `python main.py --config.data.path=FOLDER` uses this recipe.

The folder's layout, classes, mask encoding, channels and range are recognised and reported.
Nothing here depends on an image as a whole, so that an image and its tiles get one prediction: batch normalisation, and
pixel values scaled alike in all images. Flips left-right alone: a picture may have an up and a down. Copy it and
change what is known better: `--mode=check` shows shares, sizes and pictures, and what is worth a thought.
"""

from configs.schema import Augment, Config, Data, Evaluate, Model, Optimizer, Train


def get_config() -> Config:
    return Config(
        name="own",
        data=Data(source="folder", channels=0),
        augment=Augment(crop=(256, 256), flip_vertical=False, quarter_turns=False),
        model=Model(width=16, normalization="batch", input_scaling="unit"),
        optimizer=Optimizer(learning_rate=3e-3),
        train=Train(length="3000 steps", batch_size=8),
        evaluate=Evaluate(every="10%"),
    )
