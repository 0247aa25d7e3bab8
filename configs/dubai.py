"""Aerial images of Dubai: five classes in colour-coded masks, a folder of your own.

"Semantic segmentation of aerial imagery", Humans in the Loop with the Mohammed Bin Rashid Space Center: tiles of about
500 to 1100 pixels a side, in folders "Tile N" with images/ and masks/. Say where they are:

    python main.py --config=configs/dubai.py --config.data.path=FOLDER

The colours are those of the mask files (the archive's classes.json lists others, which do not occur in them).
"Unlabeled" and the few pixels without any label are void: no loss and no metric counts them. Licence: CC0 1.0.
"""

from configs.schema import Augment, Config, Data, Model, Train

_VOID = 255


def get_config() -> Config:
    return Config(
        name="dubai",
        data=Data(
            source="folder",
            classes=("building", "land", "road", "vegetation", "water"),
            mask_encoding="colors",
            mask_colors=(
                (60, 16, 152, 0),
                (132, 41, 246, 1),
                (110, 193, 228, 2),
                (254, 221, 58, 3),
                (226, 169, 41, 4),
                (155, 155, 155, _VOID),
                (0, 0, 0, _VOID),
            ),
            void_id=_VOID,
        ),
        # Seen from above there is no up: flips and quarter turns stay on, as by default.
        augment=Augment(crop=(256, 256), scale=(0.75, 1.5)),
        # Colour and brightness tell water from land, so an image's own mean is kept.
        model=Model(width=24, input_scaling="unit"),
        train=Train(length="3000 steps"),
    )
