"""Volume files of every kind, read and written with where their voxels lie in space.

NIfTI by nibabel; NRRD, MetaImage and DICOM series by SimpleITK; TIFF by tifffile. All come out alike: an array whose
axes are the file's, x first, and the affine that takes its indices to millimetres right, anterior and superior (RAS).
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
from typing import Any

import numpy as np

from trainer.data.errors import DataError, shown

NIFTI = (".nii.gz", ".nii", ".img.gz", ".img", ".hdr")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
TIFF = (".tif", ".tiff")
SUFFIXES = (*NIFTI, *ITK, *TIFF)
_DICOM = (".dcm", ".ima", ".dicom")
# SimpleITK's millimetres are left, posterior and superior (LPS).
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Header:
    """What is known of a volume without its voxels.

    shape: (x, y, z), the file's axes.
    channels: of each voxel; 1 where it is a number.
    affine: float64 `[4, 4]`, from indices to millimetres (RAS).
    kind: "nifti", "itk", "dicom" or "tiff".
    """

    path: str
    shape: tuple[int, int, int]
    channels: int
    affine: np.ndarray
    kind: str


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume as its file has it: array `[x, y, z, channels]`, and the header."""

    array: np.ndarray
    header: Header


def suffix_of(name: str) -> str:
    """The suffix that says a volume, ".nii.gz", in lower case; "" of any other file."""
    lower = name.lower()
    return next((suffix for suffix in SUFFIXES if lower.endswith(suffix)), "")


def is_series(path: str) -> bool:
    """Whether a folder holds the slices of a DICOM series: files called so, or that begin as DICOM does."""
    if not os.path.isdir(path):
        return False
    for name in sorted(os.listdir(path))[:8]:
        full = os.path.join(path, name)
        if name.lower().endswith(_DICOM):
            return True
        if os.path.isfile(full) and "." not in name:
            with open(full, "rb") as file:
                if file.read(132)[128:] == b"DICM":
                    return True
    return False


def _needed(module: str, package: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(f"{what} are read by {package}, which is not installed: pip install {package}") from error


def read_header(path: str) -> Header:
    """Shape and place of a volume; no voxel is read.

    Raises:
      DataError: it cannot be read, or the package for it is missing; names the file.
    """
    return _open(path)[0]


def read_volume(path: str) -> Volume:
    """A volume with its voxels, in the file's own type, scaled as its header says.

    Raises:
      DataError: it cannot be read, or the package for it is missing; names the file.
    """
    header, array = _open(path)
    try:
        return Volume(array(), header)
    except MemoryError:
        raise
    except Exception as error:  # each library raises what its own parts raise
        raise DataError(f"{shown(path)}: its voxels cannot be read: {_said(error)}.") from error


def _open(path: str):
    """(header, what reads the array)."""
    if os.path.isdir(path):
        kind = _dicom
    else:
        suffix = suffix_of(path)
        kind = _nifti if suffix in NIFTI else _itk if suffix in ITK else _tiff if suffix in TIFF else None
    if kind is None:
        raise DataError(f"{shown(path)}: is no volume that can be read; these can: {', '.join(SUFFIXES)}.")
    try:
        if not os.path.exists(path):
            raise DataError(f"{shown(path)}: does not exist.")
        if os.path.isfile(path) and not os.path.getsize(path):
            raise DataError(f"{shown(path)}: is empty (0 bytes).")
        header, array = kind(path)
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{shown(path)}: cannot be read: {_said(error)}.") from error
    if not np.isfinite(header.affine).all() or abs(np.linalg.det(header.affine[:3, :3])) < 1e-9:
        rows = "; ".join(" ".join(f"{value:g}" for value in row) for row in header.affine[:3])
        raise DataError(f"{shown(path)}: its affine leads nowhere ({rows}): where its voxels lie cannot be known.")
    return header, array


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")


def _space(path: str, shape: tuple[int, ...]) -> tuple[tuple[int, int, int], int]:
    """(x, y, z) and channels of a file's axes, of which a fourth holds channels (the Decathlon's 4-D files)."""
    # NIfTI keeps vectors in its fifth axis, behind an empty fourth.
    axes = [side for position, side in enumerate(shape) if position < 3 or side != 1]
    axes += [1] * (3 - len(axes))
    if len(axes) > 4 or 0 in axes:
        raise DataError(f"{shown(path)}: has the axes {list(shape)}; a volume has three, and a fourth for channels.")
    return tuple(axes[:3]), axes[3] if len(axes) == 4 else 1


def _nifti(path: str):
    nibabel = _needed("nibabel", "nibabel", "NIfTI files")
    image = nibabel.load(path)
    space, channels = _space(path, image.shape)

    def array():
        # Whole numbers with a slope would become float64.
        scaled = (getattr(image.dataobj, "slope", 1), getattr(image.dataobj, "inter", 0)) != (1, 0)
        values = np.asanyarray(image.dataobj, np.float32 if scaled else None)
        if values.dtype.names:
            raise DataError(f"{shown(path)}: holds colours; save each channel as a volume of its own.")
        return values.reshape((*space, channels), order="F")

    return Header(path, space, channels, np.asarray(image.affine, np.float64), "nifti"), array


def _itk(path: str):
    itk = _needed("SimpleITK", "SimpleITK", "NRRD and MetaImage files")
    reader = itk.ImageFileReader()
    # By itself it knows no ".MHA" in capitals.
    reader.SetImageIO("NrrdImageIO" if suffix_of(path) in (".nrrd", ".nhdr") else "MetaImageIO")
    reader.SetFileName(path)
    reader.ReadImageInformation()
    size, dimension = reader.GetSize(), reader.GetDimension()
    if dimension not in (2, 3, 4):
        raise DataError(f"{shown(path)}: has {dimension} axes; a volume has three, and a fourth for channels.")
    space, fourth = _space(path, size)
    components = reader.GetNumberOfComponents()
    affine = _affine_of(reader.GetSpacing(), reader.GetDirection(), reader.GetOrigin(), dimension)
    channels = components * fourth

    def array():
        values = itk.GetArrayFromImage(reader.Execute())
        # [(c,) z, y, x (, components)] to [x, y, z, channels].
        values = values if components > 1 else values[..., None]
        values = values if dimension == 4 else values[None]
        values = values if dimension > 2 else values[:, None]
        return values.transpose(3, 2, 1, 0, 4).reshape(*space, channels)

    return Header(path, space, channels, affine, "itk"), array


def _affine_of(spacing, direction, origin, dimension: int) -> np.ndarray:
    """RAS, of SimpleITK's LPS; the first three axes of two, three or four."""
    turned = np.reshape(direction, (dimension, dimension))
    affine, axes = np.eye(4), min(dimension, 3)
    affine[:axes, :axes] = turned[:axes, :axes] * np.asarray(spacing)[None, :axes]
    affine[:axes, 3] = origin[:axes]
    return _TO_RAS @ affine


def _dicom(path: str):
    itk = _needed("SimpleITK", "SimpleITK", "DICOM series")
    series = itk.ImageSeriesReader.GetGDCMSeriesIDs(path)
    if len(series) != 1:
        raise DataError(f"{shown(path)}: holds {len(series)} DICOM series; one a folder is read.")
    reader = itk.ImageSeriesReader()
    reader.SetFileNames(itk.ImageSeriesReader.GetGDCMSeriesFileNames(path, series[0]))
    # The distance of slices is known from all of them together: there is no header apart from the voxels.
    image = reader.Execute()
    space, channels = _space(path, image.GetSize())
    affine = _affine_of(image.GetSpacing(), image.GetDirection(), image.GetOrigin(), image.GetDimension())

    def array():
        values = itk.GetArrayFromImage(image)
        return (values if values.ndim == 4 else values[..., None]).transpose(2, 1, 0, 3)

    return Header(path, space, channels, affine, "dicom"), array


def _tiff(path: str):
    tifffile = _needed("tifffile", "tifffile", "TIFF volumes")
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        letters, shape, spacing = series.axes, series.shape, _tiff_spacing(file, path)
    colors = [position for position, letter in enumerate(letters) if letter in "CS"]
    space = [position for position in range(len(letters)) if position not in colors]
    if len(colors) > 1 or not 2 <= len(space) <= 3:
        raise DataError(f"{shown(path)}: has the axes {letters} {list(shape)}; a volume has three, and channels.")
    channels = shape[colors[0]] if colors else 1
    sides = tuple(shape[position] for position in reversed(space))
    sides += (1,) * (3 - len(sides))

    def array():
        values = tifffile.imread(path)
        return values.transpose([*reversed(space), *colors]).reshape(*sides, channels)

    return Header(path, sides, channels, np.diag([*spacing[::-1], 1.0]), "tiff"), array


def _tiff_spacing(file, path: str) -> tuple[float, float, float]:
    """Millimetres of a voxel in z, y and x: of CASE.json beside the file (nnU-Net's), of ImageJ's tags, or 1."""
    beside = path[: -len(suffix_of(path))] + ".json"
    if os.path.isfile(beside):
        try:
            with open(beside, encoding="utf-8") as sidecar:
                spacing = tuple(float(value) for value in json.load(sidecar)["spacing"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f'{shown(beside)}: has to hold {{"spacing": [z, y, x]}}: {_said(error)}.') from error
        if len(spacing) != 3 or min(spacing) <= 0:
            raise DataError(f"{shown(beside)}: spacing has to be three lengths, z, y and x. Received: {spacing}")
        return spacing
    meta = file.imagej_metadata or {}
    per_unit = {"mm": 1.0, "millimeter": 1.0, "cm": 10.0, "um": 1e-3, "micron": 1e-3, "µm": 1e-3, "\\u00B5m": 1e-3}
    unit = per_unit.get(str(meta.get("unit", "")))
    if unit is None:
        return (1.0, 1.0, 1.0)
    sides = []
    for tag in ("YResolution", "XResolution"):
        found = file.pages[0].tags.get(tag)
        count, length = found.value if found is not None else (1, 1)
        sides.append(unit * length / count if count else unit)
    return (unit * float(meta.get("spacing", 1.0)), *sides)


def written_suffix(header: Header) -> str:
    """How a file that belongs to a volume is called: as the volume's own; of a DICOM series ".nii.gz"."""
    suffix = suffix_of(header.path)
    if header.kind == "nifti":
        return suffix if suffix in (".nii", ".nii.gz") else ".nii.gz"
    return ".nii.gz" if header.kind == "dicom" else {".nhdr": ".nrrd", ".mhd": ".mha"}.get(suffix, suffix)


def write_like(path: str, array: np.ndarray, header: Header) -> None:
    """Writes `[x, y, z]` whole numbers where the voxels of another volume lie.

    NIfTI files get the affine of the volume, and its header's codes and units, byte for byte.

    Args:
      path: ends in `written_suffix(header)`; its folder is made.
      array: in the axes of the volume's file.
      header: of that volume.
    Raises:
      OSError: it cannot be written.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    suffix = suffix_of(path)
    if suffix in NIFTI:
        _write_nifti(path, array, header)
    elif suffix in ITK:
        itk = _needed("SimpleITK", "SimpleITK", "NRRD and MetaImage files")
        image = itk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        lps = _TO_RAS @ header.affine
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        itk.WriteImage(image, path, useCompression=True)
    else:
        tifffile = _needed("tifffile", "tifffile", "TIFF volumes")
        pages = np.ascontiguousarray(array.transpose(2, 1, 0))
        x, y, z = np.linalg.norm(header.affine[:3, :3], axis=0)
        meta = {"axes": "ZYX", "spacing": float(z), "unit": "mm"}
        tifffile.imwrite(path, pages, imagej=True, resolution=(1 / x, 1 / y), metadata=meta, compression="zlib")


def _write_nifti(path: str, array: np.ndarray, header: Header) -> None:
    nibabel = _needed("nibabel", "nibabel", "NIfTI files")
    about = None
    if header.kind == "nifti":
        about = nibabel.load(header.path).header.copy()
        about.set_data_shape(array.shape)
        about.set_slope_inter(1, 0)
        about["cal_max"] = about["cal_min"] = 0
    image = nibabel.Nifti1Image(array, header.affine, about, dtype=array.dtype)
    nibabel.save(image, path)
