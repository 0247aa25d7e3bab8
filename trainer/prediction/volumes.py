"""Prediction of volumes: for each a label file in the same place as its image, and a picture of three planes.

    <output>/masks/<name>.nii.gz    class ids, with the shape, affine and kind of file of the image
    <output>/overlays/<name>.png    three planes through the largest structure

`<name>` is the image's path below the folder it was found in, without suffix and channel number: CASE for
CASE_0000.nii.gz.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import os
import re
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from configs.schema import Config
from trainer.data.volumes import cases
from trainer.data.volumes.files import SUFFIXES, is_series, suffix_of, write_like, written_suffix
from trainer.errors import UserError
from trainer.prediction.inputs import Failure, expanded, output_names, without_masks
from trainer.prediction.postprocessing import PostProcessing
from trainer.prediction.volume_windows import VolumeNetwork
from trainer.reporting.memory.out_of_memory import is_out_of_memory
from trainer.reporting.volume_panels import volume_overlay

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def predict_volumes(
    model,
    inputs: Sequence[str],
    output_dir: str,
    config: Config,
    *,
    postprocessing: PostProcessing | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[Failure]:
    """Predicts every volume that can be read; arguments, result and errors are those of `predict`."""
    base = os.path.normpath(output_dir)
    base = os.path.dirname(base) if os.path.basename(base) == "masks" else base
    found, failures = find_cases(inputs, config.data.channels, base, report)
    post = postprocessing or PostProcessing(classes=tuple(config.data.classes), rank=3)
    network, done, data = VolumeNetwork(model, config, post.cuts), 0, config.data
    if not data.spacing:
        # Of arrays no spacing is known, and they come as they are.
        data = dataclasses.replace(data, spacing=(0.0,) * 3, normalize=("none",) * data.channels)
        report("The run learned from arrays, as they came: files are taken as they are, on their own grids.")
    for files in found:
        try:
            prepared = cases.prepare(files, data)
            place = prepared.place
            post.check_size(math.prod(place.shape))
            mask = post(place.whole(network.class_ids(prepared.image, place.box_shape)), place.spacing)
        except (UserError, OSError) as error:
            failures.append(Failure(files.images[0], str(error)))
            continue
        except (tf.errors.OpError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            window = ",".join(str(max(1, side // 2)) for side in network.window)
            text = (
                f"windows of {network.window} do not fit in memory. Smaller ones may: --config.evaluate.tile={window}"
            )
            failures.append(Failure(files.images[0], text))
            continue
        path = os.path.join(base, "masks", files.name + written_suffix(place.header))
        write_like(path, np.ascontiguousarray(place.orientation.back(mask)), place.header)
        about = dict(spacing=place.spacing, box=place.box, classes=config.data.classes)
        picture = volume_overlay(prepared.image, mask, **about)
        picture_path = os.path.join(base, "overlays", files.name + ".png")
        os.makedirs(os.path.dirname(picture_path), exist_ok=True)
        Image.fromarray(picture).save(picture_path)
        report(f"{files.images[0]} -> {os.path.basename(path)}  {_amounts(mask, place, config.data.classes)}")
        done += 1
    for failure in failures:
        report(f"not predicted: {failure}")
    report(f"{done} of {done + len(failures)} done: {os.path.join(base, 'masks')} and overlays/ beside it")
    return failures


def _amounts(mask: np.ndarray, place: cases.Place, classes: Sequence[str]) -> str:
    """Millilitres of the classes, but the share of the first: "liver 1520 ml, background 98.1 %"."""
    # Class by class: bincount would take eight bytes a voxel.
    counts = [int((mask == number).sum()) for number in range(len(classes))]
    millilitres = np.prod(place.spacing) / 1000.0
    volumes = [f"{name} {n * millilitres:.4g} ml" for name, n in zip(classes[1:], counts[1:], strict=False) if n]
    return ", ".join([*volumes, f"{classes[0]} {100 * counts[0] / mask.size:.1f} %"])


def find_cases(
    inputs: Sequence[str], channels: int, output_dir: str = "", report: Callable[[str], None] = lambda text: None
) -> tuple[list[cases.Files], list[Failure]]:
    """Files, folders, DICOM series and patterns as cases, with a case's channels joined; and the failures.

    `report` is called with a line for each folder that is left out.
    """
    output = os.path.realpath(output_dir) if output_dir else None
    nothing = f"no volume in it; looked for {', '.join(SUFFIXES)} and DICOM series"
    found, failures = expanded(inputs, lambda folder: _below(folder, output, report), nothing, is_series)
    grouped: dict[tuple[str, str, str], dict[int, str]] = collections.defaultdict(dict)
    for path, wish in found.items():
        stem = wish[: -len(suffix_of(wish))] if suffix_of(wish) else wish
        match = _CHANNEL.fullmatch(stem)
        alone = match is None or (channels == 1 and _others(path, found))
        # a.nii beside a.nrrd are two cases, a.img beside a.hdr one.
        kind = suffix_of(wish).replace(".img.gz", ".hdr").replace(".img", ".hdr")
        key = (os.path.dirname(path), stem if alone else match[1], kind)
        grouped[key][0 if alone else int(match[2])] = path
    made = []
    wishes = {}
    stems = collections.Counter((folder, stem) for folder, stem, _ in grouped)
    for (folder, stem, kind), numbered in grouped.items():
        missing = [number for number in range(channels) if number not in numbered] if len(numbered) > 1 else []
        first = numbered[min(numbered)]
        if missing:
            lost = ", ".join(f"{os.path.basename(stem)}_{number:04d}" for number in missing)
            failures.append(Failure(first, f"{lost} is missing beside it: the model takes {channels} channels"))
            continue
        made.append(tuple(numbered[number] for number in sorted(numbered)))
        wishes[first] = (stem if stems[folder, stem] == 1 else stem + kind.replace(".", "_")) + ".x"
    names = output_names(wishes)
    return [cases.Files(names[images[0]], images) for images in made], failures


def _others(path: str, found) -> bool:
    """Whether a volume with another number is beside one of a single channel: then numbers count cases."""
    suffix = suffix_of(path)
    stem = path[: -len(suffix)]
    if not stem.endswith("_0000"):
        return True
    return any(
        other != path
        and other.endswith(suffix)
        and _CHANNEL.fullmatch(other[: -len(suffix)])
        and other[: -len(suffix)][:-5] == stem[:-5]
        for other in found
    )


def _below(folder: str, output: str | None, report: Callable[[str], None]) -> list[str]:
    paths = []
    for parent, folders, names in os.walk(folder):
        kept = []
        for name in sorted(folders):
            full = os.path.join(parent, name)
            if name.startswith(".") or os.path.realpath(full) == output:
                continue
            if is_series(full):
                paths.append(os.path.normpath(full))
            else:
                kept.append(name)
        folders[:] = without_masks(parent, kept, report)
        for name in sorted(names):
            if suffix_of(name) and suffix_of(name) not in (".img", ".img.gz") and not name.startswith("."):
                paths.append(os.path.normpath(os.path.join(parent, name)))
    return paths


def predict_volume_arrays(
    model, volumes, config: Config, postprocessing: PostProcessing | None = None
) -> list[np.ndarray]:
    """Class ids `[depth, height, width]` of volumes `[depth, height, width, channels]`, values as in training.

    Their voxels have to have the sides of data.spacing.
    """
    shaped = [np.asarray(volume) for volume in volumes]
    shaped = [volume[..., None] if volume.ndim == 3 and config.data.channels == 1 else volume for volume in shaped]
    wrong = [f"images[{i}] is {list(v.shape)}" for i, v in enumerate(shaped) if v.shape[3:] != (config.data.channels,)]
    if wrong:
        raise UserError(
            f"{', '.join(wrong[:3])}: a volume is [depth, height, width, {config.data.channels}], with as many "
            "channels as those of the training."
        )
    post = postprocessing or PostProcessing(classes=tuple(config.data.classes), rank=3)
    network, spacing = VolumeNetwork(model, config, post.cuts), config.data.spacing
    if any(parts.smallest for parts in post.parts.values()) and spacing and not all(spacing):
        raise UserError(
            f"Post-processing removes parts by their mm³ ({post}), and how large the voxels of these arrays are is not "
            f"known: data.spacing is {spacing}.\n  Predict files, or without it: --config.predict.postprocessing=false"
        )
    masks = (network.class_ids(np.asarray(v, np.float32), v.shape[:3]).astype(np.int32) for v in shaped)
    return [post(mask, spacing) for mask in masks]
