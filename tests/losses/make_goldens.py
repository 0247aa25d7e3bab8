"""Writes `tests/losses/goldens/`: small cases of every formula, computed by the closed forms, in the reference format.

    python -m tests.losses.make_goldens

Run it only when a formula is added; the stored numbers are what the losses are held to. Every case is a line of
`CASES`: the formula, the logits, the target, and the formula's own keyword arguments (`@key` is an array of the
inputs).
"""

import json
import pathlib

import numpy as np

from tests.losses import closed_forms, closed_forms_of_shape, closed_forms_of_sums

FOLDER = pathlib.Path(__file__).parent / "goldens"
MODULES = (closed_forms, closed_forms_of_shape, closed_forms_of_sums)

SIGMOID, SOFTMAX = {"activation": "sigmoid"}, {"activation": "softmax"}
BINARY, CLASSES, LABELS = ("bin2d/logits", "bin2d/mask"), ("mc2d/logits", "mc2d/labels"), ("ml2d/logits", "ml2d/target")
VOLUME, TWO, BLOB = ("mc3d/logits", "mc3d/labels"), ("two2d/logits", "two2d/labels"), ("blob2d/logits", "blob2d/mask")
BLOBS, SOLID = ("blobmc/logits", "blobmc/labels"), ("blob3d/logits", "blob3d/mask")
IGNORED, ABSENT = ("mc2d/logits", "mc2d/labels_ignore255"), ("mc2d/logits", "mc2d/labels_absent")
BACKGROUND = ("mc2d/logits", "mc2d/labels_background")
WEIGHTS = {"class_weights": [0.5, 2.0, 1.25, 0.75]}

CASES = [
    ("dice", *BINARY, SIGMOID),
    ("dice", "bin2d/logits", "bin2d/mask_ignore255", {**SIGMOID, "ignore": 255}),
    ("dice", "bin2d/logits", "bin2d/soft", {**SIGMOID, "soft_label": True, "jaccard": True}),
    ("dice", *CLASSES, {**SOFTMAX, "reduction": "none", "include_background": False}),
    ("dice", *CLASSES, {**SOFTMAX, **WEIGHTS, "reduction": "sum", "squared": True}),
    ("dice", *CLASSES, {**SOFTMAX, "pixel_weights": "@mc2d/pixel_weights", "batch": True}),
    ("dice", *IGNORED, {**SOFTMAX, "ignore": 255, "smooth_nr": 0.0, "smooth_dr": 1.0}),
    ("dice", *LABELS, {**SIGMOID, "squared": True, "jaccard": True}),
    ("dice", *VOLUME, {**SOFTMAX, "batch": True}),
    ("tversky", *LABELS, {**SIGMOID, "alpha": 0.3, "beta": 0.7, "exponent": 0.75}),
    ("tversky", *IGNORED, {**SOFTMAX, "ignore": 255, "alpha": 0.6, "beta": 0.9, "include_background": False}),
    ("tversky", *VOLUME, {**SOFTMAX, "batch": True, "reduction": "sum", "smooth_nr": 0.5, "smooth_dr": 1.0}),
    ("smp_tversky", *ABSENT, {**SOFTMAX, **WEIGHTS, "alpha": 0.2, "beta": 0.6, "gamma": 1.5}),
    ("smp_tversky", *CLASSES, {**SOFTMAX, "classes": [1, 3], "smooth": 2.0, "log_loss": True}),
    ("smp_tversky", *LABELS, {**SIGMOID, "alpha": 1.0, "beta": 1.0, "gamma": 0.5}),
    ("smp_tversky", *IGNORED, {**SOFTMAX, "ignore": 255}),
    ("gdl", *ABSENT, {**SOFTMAX, "w_type": "simple", "reduction": "sum"}),
    ("gdl", *ABSENT, {**SOFTMAX, "batch": True}),
    ("gdl", *VOLUME, {**SOFTMAX, "w_type": "uniform", "include_background": False}),
    ("gwdl", *CLASSES, {"M": "@mc2d/dist_matrix"}),
    ("gwdl", *ABSENT, {"M": "@mc2d/dist_matrix", "weighting_mode": "GDL", "reduction": "sum"}),
    ("focal_sigmoid", *CLASSES, {"gamma": 1.5, "alpha": 0.3}),
    ("focal_sigmoid", *LABELS, {"gamma": 0.5, "reduction": "sum"}),
    ("focal_softmax", *VOLUME, {"gamma": 2.0, "alpha": 0.25}),
    ("focal_softmax", *CLASSES, {"gamma": 1.0, "reduction": "sum"}),
    ("ce", *IGNORED, {**WEIGHTS, "ignore": 255}),
    ("ce", *CLASSES, {**WEIGHTS, "label_smoothing": 0.2}),
    ("topk_ce", *CLASSES, {"k": 30}),
    ("lovasz_hinge", *BINARY, {"per_image": True}),
    ("lovasz_hinge", "bin2d/logits", "bin2d/mask_ignore255", {"ignore": 255}),
    ("lovasz_softmax", *IGNORED, {"ignore": 255, "per_image": True}),
    ("lovasz_softmax", *ABSENT, {"classes": "all", "per_image": True}),
    ("lovasz_softmax", *VOLUME, {}),
    ("mcc_monai", *CLASSES, {**SOFTMAX, "include_background": False}),
    ("mcc_monai", *LABELS, {**SIGMOID, "batch": True, "reduction": "sum", "smooth_nr": 0.5}),
    ("mcc_smp", *BINARY, SIGMOID),
    ("boundary", *BLOBS, {**SOFTMAX, "include_background": False}),
    ("boundary", *SOLID, SIGMOID),
    ("hausdorff_dt", *BLOB, {**SIGMOID, "alpha": 1.0, "include_background": True}),
    ("hausdorff_dt", *BLOBS, {**SOFTMAX, "log": True, "batch": True}),
    ("hausdorff_dt", *SOLID, {**SIGMOID, "include_background": True}),
    ("cldice", *BLOBS, {**SOFTMAX, "iter_": 2, "include_background": False}),
    ("cldice", *SOLID, {**SIGMOID, "smooth_nr": 0.5, "smooth_dr": 2.0}),
    ("dicecldice", *BLOB, {**SIGMOID, "alpha": 0.3}),
    ("dicecldice", *BLOBS, {**SOFTMAX, "iter_": 1}),
    ("keras_dice", *CLASSES, {**SOFTMAX, "axis": None}),
    ("keras_dice", *VOLUME, {**SOFTMAX, "axis": [1, 2, 3]}),
    ("keras_tversky", *BINARY, {"alpha": 0.2, "beta": 0.9}),
    ("nnunet_dice", *VOLUME, {**SOFTMAX, "batch_dice": True, "do_bg": False, "smooth": 0.1}),
    ("nn_dcce", *CLASSES, {"weight_ce": 0.5}),
    ("dicece", *VOLUME, {"lambda_dice": 0.4, "lambda_ce": 2.0}),
    ("dicebce", *LABELS, {"lambda_ce": 0.5}),
    ("dicefocal", *CLASSES, {"gamma": 1.0, "lambda_focal": 3.0}),
    ("gdfocal", *CLASSES, {"gamma": 2.0, "lambda_gdl": 0.5}),
    ("aufl_monai", *TWO, {**SOFTMAX, "weight": 0.3, "gamma": 0.75, "delta": 0.6}),
    ("unified_focal", *TWO, {**SOFTMAX, "asym": False}),
    ("unified_focal", *TWO, {**SOFTMAX, "asym": True, "weight": 0.7, "delta": 0.7, "gamma": 0.25}),
    ("log_cosh_dice", *VOLUME, SOFTMAX),
    ("log_cosh_dice_per_class", *CLASSES, SOFTMAX),
    ("exp_log", *CLASSES, {}),
    ("exp_log", *CLASSES, {**WEIGHTS, "gamma": 1.0}),
    ("combo", *BINARY, {"alpha": 0.7, "beta": 0.2}),
    ("sens_spec", *CLASSES, SOFTMAX),
    ("sens_spec", *LABELS, SIGMOID),
    ("tanimoto_dual", *VOLUME, SOFTMAX),
    ("tanimoto_dual", *BINARY, SIGMOID),
    ("gce", *CLASSES, {"q": 0.7}),
    ("nacl", *CLASSES, {}),
    ("nacl", *VOLUME, {"distance_type": "l2", "alpha": 0.5}),
    ("sample", *CLASSES, {"norm": "weights", "weights": "@mc2d/sample_weights"}),
    ("wnorm", *CLASSES, WEIGHTS),
    ("bceval", *LABELS, {"pos_weight": 2.0, "label_smoothing": 0.1}),
    ("gdl", *BACKGROUND, {**SOFTMAX, "include_background": False}),
    ("gdl", *IGNORED, {**SOFTMAX, "ignore": 255}),
    ("gdl", "mc2d/logits", "mc2d/soft", {**SOFTMAX, "soft_label": True}),
    ("focal_softmax", *IGNORED, {"ignore": 255, "alpha": 0.3}),
    ("focal_softmax", *CLASSES, {"include_background": False, "reduction": "none", "alpha": [0.1, 0.2, 0.3, 0.4]}),
    ("topk_ce", *IGNORED, {"ignore": 255, "k": 40}),
    ("keras_dice", *VOLUME, {**SOFTMAX, "axis": [1, 2]}),
    ("keras_tversky", *CLASSES, {**SOFTMAX, "alpha": 0.3, "beta": 0.7, "axis": [0, 3]}),
    ("mcc_smp", *LABELS, SIGMOID),
    ("aufl_monai", "two2d/sure", "two2d/labels", SOFTMAX),
]


def inputs():
    """Small drawn arrays, stored in the types of the reference folder."""
    draw = np.random.default_rng(20260726)
    arrays = {}

    def logits(name, shape, scale=2.0):
        arrays[f"{name}/logits"] = (draw.standard_normal(shape) * scale).astype(np.float32)

    logits("bin2d", (2, 4, 5, 1))
    arrays["bin2d/mask"] = (draw.random((2, 4, 5, 1)) < 0.4).astype(np.uint8)
    arrays["bin2d/mask_ignore255"] = np.where(draw.random((2, 4, 5, 1)) < 0.2, 255, arrays["bin2d/mask"]).astype(
        np.uint8
    )
    arrays["bin2d/soft"] = draw.random((2, 4, 5, 1)).astype(np.float32)
    logits("mc2d", (2, 4, 5, 4))
    arrays["mc2d/labels"] = draw.integers(0, 4, (2, 4, 5)).astype(np.int32)
    arrays["mc2d/labels_absent"] = np.minimum(arrays["mc2d/labels"], 2)
    arrays["mc2d/labels_ignore255"] = np.where(draw.random((2, 4, 5)) < 0.2, 255, arrays["mc2d/labels"]).astype(
        np.int32
    )
    arrays["mc2d/pixel_weights"] = draw.uniform(0, 2, (2, 4, 5, 1)).astype(np.float32)
    arrays["mc2d/sample_weights"] = np.array([0.5, 1.75], np.float32)
    matrix = draw.uniform(0.1, 0.9, (4, 4))
    arrays["mc2d/dist_matrix"] = ((matrix + matrix.T) * (1 - np.eye(4))).astype(np.float32)
    logits("ml2d", (2, 4, 3, 3))
    arrays["ml2d/target"] = (draw.random((2, 4, 3, 3)) < 0.5).astype(np.uint8)
    logits("mc3d", (2, 2, 3, 4, 3))
    arrays["mc3d/labels"] = draw.integers(0, 3, (2, 2, 3, 4)).astype(np.int32)
    logits("two2d", (2, 4, 5, 2))
    arrays["two2d/labels"] = draw.integers(0, 2, (2, 4, 5)).astype(np.int32)
    rows, columns = np.mgrid[:9, :8]
    disc = np.hypot(rows - 4.2, columns - 3.4) < 2.6
    arrays["blob2d/mask"] = np.stack([disc, np.roll(disc, 2, 1)])[..., None].astype(np.uint8)
    arrays["blob2d/logits"] = (3 * disc[None, ..., None] - 1 + draw.standard_normal((2, 9, 8, 1))).astype(np.float32)
    arrays["blobmc/labels"] = np.stack([disc + (disc & (rows > 4)), np.roll(disc, 1, 0)]).astype(np.int32)
    arrays["blobmc/logits"] = (
        2.5 * closed_forms.one_hot(arrays["blobmc/labels"], 3) + draw.standard_normal((2, 9, 8, 3))
    ).astype(np.float32)
    ball = sum((axis - centre) ** 2 for axis, centre in zip(np.mgrid[:4, :5, :6], (1.5, 2, 2.7), strict=True)) < 4
    arrays["blob3d/mask"] = ball[None, ..., None].astype(np.uint8)
    arrays["blob3d/logits"] = (3 * ball - 1.2 + draw.standard_normal(ball.shape))[None, ..., None].astype(np.float32)
    # Drawn last, so that the arrays above stay what they were.
    arrays["mc2d/labels_background"] = arrays["mc2d/labels"] * np.array([0, 1], np.int32)[:, None, None]
    arrays["mc2d/soft"] = draw.dirichlet(np.ones(4), (2, 4, 5)).astype(np.float32)
    arrays["two2d/sure"] = arrays["two2d/logits"] * 20
    return arrays


def main():
    arrays = inputs()
    formulas = {name: getattr(module, name) for module in reversed(MODULES) for name in vars(module)}
    expected, cases = {}, []
    for number, (formula, logits, target, options) in enumerate(CASES):
        name = f"{formula}_{number:02d}"
        given = {
            key: arrays[value[1:]] if isinstance(value, str) and value.startswith("@") else value
            for key, value in options.items()
        }

        def loss(z, function=formulas[formula], y=arrays[target], given=given):
            return function(z, y, **given)

        value = np.asarray(loss(arrays[logits].astype(np.float64)))
        expected[f"grad/{name}"] = closed_forms.gradient(lambda z, loss=loss: np.sum(loss(z)), arrays[logits])
        named = {"logits": logits, "target": target}
        kept = {key: value for key, value in options.items() if key not in ("ignore", "weights")}
        if formula == "sample":
            named["sample_weights"] = options["weights"][1:]
        if "pixel_weights" in options:
            named["pixel_weights"] = options["pixel_weights"][1:]
        case = {
            "name": name,
            "inputs": named,
            "target_form": "sparse" if arrays[target].ndim < arrays[logits].ndim else "dense",
            "activation_before": None,
            "options": {"ignore_index": options["ignore"]} if "ignore" in options else {},
            "formula": formula,
            "formula_kwargs": kept,
            "value": float(value.sum()),
            "grad_keys": [f"grad/{name}"],
        }
        if value.ndim:
            case["value_key"] = f"value/{name}"
            expected[case["value_key"]] = value
        cases.append(case)
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / "inputs.npz", **arrays)
    np.savez_compressed(FOLDER / "expected.npz", **expected)
    index = {"format": 1, "layout": "channels_last", "cases": cases, "generated": []}
    (FOLDER / "index.json").write_text(json.dumps(index, indent=0) + "\n", encoding="utf-8")
    print(f"{len(cases)} cases of {len({case['formula'] for case in cases})} formulas written to {FOLDER}")


if __name__ == "__main__":
    main()
