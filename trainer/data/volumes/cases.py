"""A case: the files of one patient or scene, read, checked against each other, and prepared for the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.volumes import intensities, resampling
from trainer.data.volumes.files import Header, Volume, read_header, read_volume
from trainer.data.volumes.orientation import Orientation

# How far apart the affines of two files of a case may be, in voxels.
_APART = 0.01
_ORDERS = {"cubic": 3, "linear": 1}


@dataclasses.dataclass(frozen=True, order=True)
class Files:
    """images: a path for each channel, or a file with several. label: a path; "" if there is none."""

    name: str
    images: tuple[str, ...]
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Place:
    """The place in its file of the part that the network sees.

    header: that of the first image.
    orientation: that of the file's axes.
    shape: that of the whole volume, (depth, height, width).
    box: the non-empty part, which the network sees.
    """

    header: Header
    orientation: Orientation
    shape: tuple[int, int, int]
    box: tuple[slice, slice, slice]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres of the file's voxels along depth, height and width."""
        return self.orientation.spacing

    @property
    def box_shape(self) -> tuple[int, int, int]:
        return tuple(len(range(*part.indices(side))) for part, side in zip(self.box, self.shape, strict=True))

    def whole(self, inside: np.ndarray) -> np.ndarray:
        """Class ids of the box as those of the whole volume: the empty part is class 0."""
        made = np.zeros(self.shape, inside.dtype)
        made[self.box] = inside
        return made


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A case as the network sees it.

    image: float32 `[depth, height, width, channels]`, at the target spacing and one scale of intensities.
    label: class ids on the same grid, or None.
    """

    image: np.ndarray
    label: np.ndarray | None
    place: Place


def read_image(files: Files) -> tuple[np.ndarray, Header, Orientation]:
    """All channels of a case, `[depth, height, width, channels]` in the files' common type, with their place.

    Raises:
      DataError: a file cannot be read, has NaN or infinite values, or lies elsewhere than the first; names it.
    """
    volumes = [read_volume(path) for path in files.images]
    first = volumes[0].header
    problems = [found for volume in volumes[1:] if (found := elsewhere(volume.header, first, "channel"))]
    for volume in volumes:
        values = volume.array
        if values.dtype.kind not in "iufb":
            raise DataError(f"{shown(volume.header.path)}: holds {values.dtype}, which are no intensities.")
        wrong = int(values.size - np.isfinite(values).sum()) if values.dtype.kind == "f" else 0
        if wrong:
            problems.append(f"{shown(volume.header.path)}: holds {wrong} values that are NaN or infinite.")
    if problems:
        raise DataError("\n".join(problems))
    orientation = Orientation.of(first.affine)
    arrays = [orientation.turned(volume.array) for volume in volumes]
    return (arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=3)), first, orientation


def read_label(files: Files, header: Header, data: Data) -> np.ndarray:
    """Class ids of a case, int `[depth, height, width]`; data.void_id is void.

    Args:
      header: that of the image to which it belongs.
      data: the config's section: classes, mask_ids, void_id, void_values.

    Raises:
      DataError: its shape or affine differs from its image's, or it has other values than classes; names it.
    """
    volume = read_volume(files.label)
    problem = elsewhere(volume.header, header, "label")
    if problem:
        raise DataError(problem)
    label = whole_numbers(volume)
    table = dict(data.mask_ids) | dict.fromkeys(data.void_values, data.void_id)
    known = {*range(len(data.classes)), data.void_id}
    values, counts = np.unique(label, return_counts=True)
    strange = [int(v) for v in values if int(v) not in table and int(v) not in known]
    if strange and data.classes:
        held = ", ".join(
            f"{v} ({n} voxels)" for v, n in zip(values.tolist(), counts.tolist(), strict=True) if v in strange
        )
        raise DataError(
            f"{shown(files.label)}: holds {held}, which is no class: there are 0 … {len(data.classes) - 1} "
            f"({', '.join(data.classes)}), and {data.void_id} for void. Values that mean classes: "
            "--config.data.mask_ids='((VALUE, CLASS), …)'; that count nowhere: --config.data.void_values=…"
        )
    if any(int(v) in table and table[int(v)] != int(v) for v in values):
        mapped = np.array([table.get(int(v), int(v)) for v in values])
        label = mapped[np.searchsorted(values, label)]
    low, high = min(data.void_id, 0), max(data.void_id, len(data.classes), int(label.max()))
    kind = np.uint8 if low >= 0 and high < 256 else np.int32
    return Orientation.of(header.affine).turned(np.asarray(label, kind))


def whole_numbers(volume: Volume) -> np.ndarray:
    """The labels of a file, `[x, y, z]`, in any type.

    Raises:
      DataError: they are fractions, or have several channels; names the file.
    """
    path, array = shown(volume.header.path), volume.array
    if array.shape[3] != 1:
        raise DataError(f"{path}: has {array.shape[3]} channels; a label has one, with a class id at each voxel.")
    label = array[..., 0]
    if label.dtype.kind == "f":
        rounded = np.rint(label)
        if not np.isfinite(label).all() or np.abs(label - rounded).max(initial=0) > 1e-4:
            first = label[~(np.abs(label - rounded) <= 1e-4)].flat[0]
            raise DataError(
                f"{path}: holds fractions, such as {first:g}: a label has a class id at each voxel. Was it resampled "
                "smoothly? Take the nearest voxel."
            )
        label = rounded.astype(np.int32)
    if label.dtype.kind not in "iub":
        raise DataError(f"{path}: holds {label.dtype}, which are no class ids.")
    return label


def elsewhere(header: Header, image: Header, what: str) -> str:
    """The sentence for a file that does not lie in the same place as its case's image; "" if it does."""
    path, other = shown(header.path), shown(image.path)
    if header.shape != image.shape:
        return (
            f"{path}: the {what} has {_by(header.shape)} voxels, its image {other} {_by(image.shape)} (x, y, z of the "
            "files). Resample it to the image, to the nearest voxel."
        )
    difference = header.affine - image.affine
    # The positions of the volume's corners, in voxels of the image.
    corners = np.array([[*np.unravel_index(n, (2, 2, 2)), 1] for n in range(8)], float)
    corners[:, :3] *= np.array(image.shape) - 1
    voxel = np.linalg.norm(image.affine[:3, :3], axis=0).min()
    apart = float(np.abs(corners @ difference.T)[:, :3].max())
    if apart <= _APART * voxel:
        return ""
    return (
        f"{path}: the {what} has another affine than its image {other}: its voxels lie up to {apart:.3g} mm away "
        f"({_rows(header.affine)} against {_rows(image.affine)}). If the voxels belong together, copy the image's "
        "affine into it; else resample it to the image."
    )


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _rows(affine: np.ndarray) -> str:
    return "[" + "; ".join(" ".join(f"{value:.4g}" for value in row) for row in affine[:3]) + "]"


def headers(files: Files) -> tuple[list[str], Header | None, int]:
    """The problems of a case, found without reading voxels; the first image's header; the number of channels."""
    problems, found = [], []
    for path in files.images:
        try:
            found.append(read_header(path))
        except DataError as error:
            problems.append(str(error))
    if not found:
        return problems, None, 0
    problems += [text for header in found[1:] if (text := elsewhere(header, found[0], "channel"))]
    if files.label:
        try:
            text = elsewhere(read_header(files.label), found[0], "label")
            problems += [text] if text else []
        except DataError as error:
            problems.append(str(error))
    return problems, found[0], sum(header.channels for header in found)


def prepare(files: Files, data: Data) -> Prepared:
    """A case as the network sees it: cut to the non-empty part, normalised, resampled.

    Args:
      data: the config's section, with the data's spacing, normalize (a word for each channel) and intensities.
    Raises:
      DataError: it cannot be used; names the file.
    """
    image, header, orientation = read_image(files)
    label = read_label(files, header, data) if files.label else None
    if image.shape[3] != data.channels:
        raise DataError(f"{files.name}: has {image.shape[3]} channels, and the data {data.channels}.")
    box = intensities.filled_box(image)
    place = Place(header, orientation, image.shape[:3], box)
    scaled = intensities.normalized(image[box], data.normalize, data.intensities, intensities.empty_values(image))
    shape = resampling.resampled_shape(scaled.shape[:3], place.spacing, data.spacing)
    if shape != scaled.shape[:3]:
        order = resampling.orders(place.spacing, data.spacing, _ORDERS[data.resampling])
        made = np.empty((*shape, scaled.shape[3]), np.float32)
        for channel in range(scaled.shape[3]):
            made[..., channel] = resampling.resample(scaled[..., channel], shape, order)
        scaled = made
    small = None if label is None else np.ascontiguousarray(resampling.resample_labels(label[box], shape))
    return Prepared(np.ascontiguousarray(scaled), small, place)
