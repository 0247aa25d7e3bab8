"""An image file in, a mask file out, by a SavedModel.

    pip install tensorflow pillow
    python serve_saved_model.py saved_model photo.jpg mask.png

The mask holds class ids; model.json beside the model, which has to lie there, has their names. Of classes that overlap
there is a mask for each. Post-processing, where there is some, is in
postprocessing.json and postprocess.py beside them, and needs scipy. Images are of 8 bits; what is not grey or colour
comes as a NumPy file, uint8 [height, width, channels].
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps


def read(path, channels):
    """uint8 [height, width, channels], turned as the camera says."""
    if path.endswith(".npy"):
        return np.load(path, allow_pickle=False)
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB" if channels == 3 else "L")
    return np.asarray(picture, np.uint8).reshape(picture.height, picture.width, channels)


def finished(probabilities, folder):
    """Class ids [h, w], of classes that overlap 0 and 1 for each [h, w, classes]; after postprocessing.json's steps."""
    path = os.path.join(folder, "postprocessing.json")
    if not os.path.isfile(path):
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
            overlapping = "labels" in json.load(file)["outputs"]
        return probabilities > 0.5 if overlapping else probabilities.argmax(-1)
    from postprocess import decided, processed  # beside this program; it needs scipy

    with open(path, encoding="utf-8") as file:
        steps = json.load(file)
    return processed(decided(probabilities, steps), steps)


def write(mask, target):
    """One file of class ids; of classes that overlap one for each, 255 where it is: mask_0.png, mask_1.png …"""
    if mask.ndim == 2:
        Image.fromarray(mask.astype(np.uint8)).save(target)
        return
    stem, suffix = os.path.splitext(target)
    for number in range(mask.shape[-1]):
        Image.fromarray(np.where(mask[..., number], 255, 0).astype(np.uint8)).save(f"{stem}_{number}{suffix}")


def main(model, source, target):
    serve = tf.saved_model.load(model).signatures["serving_default"]
    channels = serve.structured_input_signature[1]["image"].shape[-1]
    image = read(source, channels)[None]
    probabilities = serve(image=tf.constant(image))["probabilities"].numpy()[0]
    mask = finished(probabilities, os.path.dirname(os.path.abspath(model)))
    write(mask, target)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
