"""Post-processing of a mask by postprocessing.json: thresholds, holes, small parts, all but the largest part.

    pip install numpy scipy

    steps = json.load(open("postprocessing.json"))
    mask = processed(decided(probabilities, steps), steps)

Parts are also connected across corners: 8 neighbours in an image, 26 in a volume. A hole is background enclosed by a
class, with no path out of it across sides: 4 neighbours, or 6.
"""

import numpy as np
from scipy import ndimage


def decided(probabilities, steps):
    """Class ids [...] of probabilities [..., classes]; for classes that overlap 0 and 1 each, [..., classes]."""
    classes, thresholds = steps["classes"], steps["thresholds"]
    if steps["overlapping"]:
        return (probabilities > [thresholds.get(name, 0.5) for name in classes]).astype(np.uint8)
    if len(classes) == 2:
        return (probabilities[..., 1] > thresholds.get(classes[1], 0.5)).astype(np.uint8)
    return probabilities.argmax(axis=-1)


def processed(mask, steps, spacing=()):
    """A mask of the same form after the steps of each class, in the order of the classes.

    mask: class ids [height, width] or [depth, height, width], or 0 and 1 [..., classes] for classes that overlap.
    spacing: for a volume, the sides of a voxel in millimetres.
    """
    mask, voxel = mask.copy(), float(np.prod(spacing)) if len(spacing) else 1.0
    for name in steps["classes"]:
        if name not in steps["parts"]:
            continue
        number = steps["classes"].index(name)
        if steps["overlapping"]:
            found = mask[..., number] == 1
            mask[..., number] = changed(found, ~found, steps["parts"][name], voxel)
            continue
        found, free = mask == number, mask == steps["background"]
        left = changed(found, free, steps["parts"][name], voxel)
        mask[found & ~left] = steps["background"]
        mask[left] = number
    return mask


def changed(found, free, step, voxel=1.0):
    """The pixels of a class after its step: {"fill_holes": bool, "smallest": size, "largest": bool}.

    found: its pixels before, bool.
    free: pixels that holes may consist of, bool.
    voxel: the size of a pixel.
    """
    if step["fill_holes"]:
        found = found | ndimage.binary_fill_holes(found) & free
    if not step["smallest"] and not step["largest"]:
        return found
    parts, count = ndimage.label(found, np.ones([3] * found.ndim))
    if not count:
        return found
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * voxel
    sizes[0] = 0
    kept = sizes >= step["smallest"]
    if step["largest"]:
        kept &= np.arange(count + 1) == sizes.argmax()
    kept[0] = False
    return kept[parts]
