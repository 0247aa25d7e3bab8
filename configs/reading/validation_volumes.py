"""The rules of validation that hold for volumes, and for the levels of the U-Net.

A rule yields (paths, text): the fields it is about, and why they are wrong and what to write instead.
"""

from __future__ import annotations

from configs.reading.levels import levels, rank_of
from configs.reading.nearest import did_you_mean
from configs.schema import Config

# Scores of volumes that evaluate.metric may name, beside those of images.
SCORES = ("surface_dice", "hausdorff_95_mm")
NORMALIZATIONS = ("auto", "z_score", "ct", "none")


def volume_problems(config: Config):
    """Axes that do not fit each other, and what only volumes have."""
    data, model, rank = config.data, config.model, rank_of(config)
    if data.source == "volumes" and rank != 3:
        yield (
            ("augment.crop", "data.source"),
            "volumes are trained on in crops of depth, height and width. Write --config.augment.crop=32,32,32, or as "
            "much of a volume as memory allows.",
        )
    elif data.source not in ("volumes",) and ":" not in data.source and rank == 3:
        yield (
            ("augment.crop", "data.source"),
            f"data.source={data.source} gives images, whose crops have height and width. Write "
            "--config.augment.crop=128,128, or --config.data.source=volumes for volumes.",
        )
    if data.source == "volumes" and model.name in ("unet", "encoder_unet") and model.input_scaling != "none":
        yield (
            ("model.input_scaling", "data.source"),
            "volumes come at one scale already (data.normalize), and a crop has not the mean of its volume. Write "
            "--config.model.input_scaling=none.",
        )
    if data.source == "volumes" and data.multi_label:
        yield (
            ("data.labels", "data.source"),
            "volumes have one class a voxel. Regions that overlap are named in dataset.json, and scored as regions.",
        )
    if rank == 3 and model.name == "encoder_unet":
        yield ("model.name", "augment.crop"), "its encoders take images, not volumes. Write --config.model.name=unet."
    for name in ("spacing",):
        if getattr(data, name) and len(getattr(data, name)) != 3:
            text = "a voxel has three sides, along depth, height and width. Write --config.data.spacing=1,1,1."
            yield (f"data.{name}",), text
    unknown = [word for word in data.normalize if word not in NORMALIZATIONS]
    if unknown or not data.normalize:
        hint = did_you_mean(unknown[0], NORMALIZATIONS) if unknown else ""
        text = f"{', '.join(unknown) or 'nothing'} is not one of {', '.join(NORMALIZATIONS)}.{hint}"
        yield ("data.normalize",), text
    wrong = [row for row in data.intensities if not (row[0] < row[1] and row[3] > 0)]
    if wrong:
        text = f"of {wrong[0]} the first has to be below the second, and the fourth, a deviation, above 0."
        yield ("data.intensities",), text
    yield from _levels(config, rank)


def _levels(config: Config, rank: int):
    model = config.model
    if model.name != "unet":
        return
    for name, wanted, what in (
        ("strides", model.depth, "a level down"),
        ("kernels", model.depth + 1, "a level, and one for the bottom"),
    ):
        rows, path = getattr(model, name), f"model.{name}"
        example = [[2 if name == "strides" else 3] * rank] * wanted
        if rows and (len(rows) != wanted or any(len(row) != rank for row in rows)):
            text = f"it needs a row {what}, of {rank} numbers: model.depth={model.depth} makes {wanted} rows. Write "
            yield (path, "model.depth", "augment.crop"), text + f"--config.{path}='{example}'."
        elif name == "kernels" and any(side % 2 == 0 for row in rows for side in row):
            yield (path,), "sides of kernels are odd, so that they have a middle."
    if rank == 3 and not model.strides:
        shrunk = [row != (1, 1, 1) for row in levels(config).strides]
        if not all(shrunk):
            crop = ",".join(map(str, config.augment.crop))
            yield (
                ("model.depth", "augment.crop"),
                f"a crop of {crop} can be halved {sum(shrunk)} times before fewer than 4 voxels or odd sides are left. "
                f"Write --config.model.depth={max(1, sum(shrunk))}, or a larger crop.",
            )
    if model.upsampling == "bilinear" and rank == 3:
        yield (
            ("model.upsampling", "augment.crop"),
            "volumes are enlarged by transpose or nearest. Write --config.model.upsampling=transpose.",
        )
