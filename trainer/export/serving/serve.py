"""An image file in, a mask file out, by an exported model.

    python serve.py saved_model photo.jpg mask.png           # pip install tensorflow pillow
    python serve.py model.tflite photo.jpg mask.png          # pip install ai-edge-litert numpy pillow
    python serve.py model.onnx photo.jpg mask.png            # pip install onnxruntime numpy pillow

The mask holds class ids; model.json beside the model, which has to lie there, has their names. Of classes that overlap
there is a mask for each. A LiteRT model takes images of one size, and others in tiles. Post-processing, where there is
some, is in postprocessing.json and postprocess.py beside the model, and needs scipy. Images are of 8 bits; what is not
grey or colour comes as a NumPy file, uint8 [height, width, channels].
"""

import json
import os
import sys

import numpy as np
from PIL import Image, ImageOps


def saved_model(path):
    """The number of channels, and the function from an image [h, w, channels], uint8, to probabilities."""
    # Without it TensorFlow reports on a machine without a GPU what looks like an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    serve = tf.saved_model.load(path).signatures["serving_default"]
    channels = serve.structured_input_signature[1]["image"].shape[-1]
    return channels, lambda image: serve(image=tf.constant(image[None]))["probabilities"].numpy()[0]


def onnx(path):
    """As `saved_model`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    return entry.shape[-1], lambda image: session.run(["probabilities"], {entry.name: image[None]})[0][0]


def litert(path):
    """As `saved_model`."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # TensorFlow has one, too
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter

    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()
    _, height, width, channels = interpreter.get_input_details()[0]["shape"].tolist()
    run = interpreter.get_signature_runner("serving_default")
    return channels, lambda image: predict(run, image, height, width)


def predict(run, image, height, width):
    """Probabilities [h, w, classes] of an image [h, w, channels], uint8: the mean of overlapping tiles."""
    rows, columns = image.shape[:2]
    padding = ((0, max(0, height - rows)), (0, max(0, width - columns)), (0, 0))
    # Mirrored, as in training; an image of one pixel a side has nothing to mirror.
    image = np.pad(image, padding, mode="symmetric")
    total, weights = None, np.zeros((*image.shape[:2], 1), np.float32)
    # Pixels at a tile's border see less around them, and count less.
    ramps = [np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)) / (side / 2) for side in (height, width)]
    weight = (ramps[0][:, None] * ramps[1][None, :])[..., None].astype(np.float32)
    for top in starts(image.shape[0], height):
        for left in starts(image.shape[1], width):
            tile = np.ascontiguousarray(image[None, top : top + height, left : left + width])
            probabilities = run(image=tile)["probabilities"][0]
            if total is None:
                total = np.zeros((*image.shape[:2], probabilities.shape[-1]), np.float32)
            total[top : top + height, left : left + width] += weight * probabilities
            weights[top : top + height, left : left + width] += weight
    return (total / weights)[:rows, :columns]


def starts(length, side):
    """Where tiles begin: neighbours share a quarter, and the last ends with the image."""
    count = 1 + -(-(length - side) // (side - side // 4))
    return np.linspace(0, length - side, count).round().astype(int)


def read(path, channels):
    """uint8 [height, width, channels], turned as the camera says."""
    if path.endswith(".npy"):
        image = np.load(path, allow_pickle=False)
        if image.dtype != np.uint8 or image.shape[2:] != (channels,):
            raise ValueError(f"{path} is {image.dtype} {list(image.shape)}, not uint8 [height, width, {channels}]")
        return image
    picture = Image.open(path)
    if picture.mode[0] in "IF":
        raise ValueError(f"{path} has more than 8 bits a pixel: scale it as in training, and save it as a NumPy file")
    if picture.format == "TIFF" and picture.n_frames > 1:
        raise ValueError(f"{path} has {picture.n_frames} pages: save the one that is meant")
    picture = ImageOps.exif_transpose(picture).convert("RGB" if channels == 3 else "L")
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
    load = {".tflite": litert, ".onnx": onnx}.get(os.path.splitext(model)[1], saved_model)
    channels, probabilities = load(model)
    write(finished(probabilities(read(source, channels)), os.path.dirname(os.path.abspath(model))), target)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(f"{error}")
