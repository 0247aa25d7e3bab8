"""Oxford-IIIT Pet: cats and dogs against their background, a U-Net on a MobileNetV2 encoder.

The data comes from TensorFlow Datasets (`oxford_iiit_pet:4.0.0`, 3,680 training and 3,669 test photographs, about
800 MB to download once):

    python main.py --config=configs/oxford_pets.py --config.data.download

Its trimaps hold 1 for the pet, 2 for the background and 3 for the border between them, which belongs to neither and is
void here: no loss and no metric counts it. The encoder begins at random; with a network at hand,
`--config.model.encoder_weights=imagenet` downloads weights that make the run shorter and the result better.

Source: Parkhi, Vedaldi, Zisserman, Jawahar, "Cats and Dogs", CVPR 2012. Licence: CC BY-SA 4.0.
"""

from configs.schema import Augment, Config, Data, Model, Optimizer, Train


def get_config() -> Config:
    return Config(
        name="oxford_pets",
        data=Data(
            source="tfds",
            name="oxford_iiit_pet:4.0.0",
            classes=("background", "pet"),
            mask_encoding="ids",
            mask_ids=((1, 1), (2, 0), (3, 255)),
        ),
        # Photographs have an up and a down; their pets are large, so a crop of half the size still shows one.
        augment=Augment(crop=(256, 256), scale=(0.5, 1.25), flip_vertical=False, quarter_turns=False, brightness=0.2),
        model=Model(name="encoder_unet", encoder="MobileNetV2"),
        optimizer=Optimizer(learning_rate=1e-3),
        train=Train(length="20 epochs", batch_size=16),
    )
