"""Which loss, with which options, each formula of the reference table is: by the formula's name and options alone.

`FORMULAS[name](case, y, z)` gives the value of labels `y` and logits `z`. `Unoffered` says that `losses` has no such
formula or option; an option of the formula that nothing here reads is one too, so that none is left out in silence.
"""

import tensorflow as tf

from tests.golden_case import call
from tests.golden_pixels import (
    binary_cross_entropy,
    cross_entropy,
    focal_sigmoid,
    focal_softmax,
    gce,
    nacl,
    topk_ce,
)


def dice(case, y, z, **fixed):
    name = "jaccard" if case.take("jaccard") else "dice"
    options = {
        "smooth_nr": case.take("smooth_nr", "nr"),
        "smooth_dr": case.take("smooth_dr", "dr"),
        "squared": case.take("squared", "squared_pred"),
        "soft_label": case.take("soft_label"),
        "class_weights": case.weights("weight"),
        "absent": "count",
    }
    return call(name, y, z, **{**case.shared(y, z), **options, **fixed})


def tversky(case, y, z):
    exponent = case.take("exponent", default=1.0)
    options = {
        "alpha": case.take("alpha", default=0.5),
        "beta": case.take("beta", default=0.5),
        "smooth_nr": case.take("smooth_nr", "nr"),
        "smooth_dr": case.take("smooth_dr", "dr"),
        "soft_label": case.take("soft_label"),
        "class_weights": case.weights("weight"),
        "absent": "count",
        **case.shared(y, z),
    }
    if exponent == 1:
        return call("tversky", y, z, **options)
    return call("focal_tversky", y, z, gamma=1 / exponent, **options)


def gdl(case, y, z):
    return call(
        "generalised_dice",
        y,
        z,
        weighting=case.take("w_type"),
        absent="count",
        smooth_nr=case.take("smooth_nr", "nr", default=1e-5),
        smooth_dr=case.take("smooth_dr", "dr", default=1e-5),
        soft_label=case.take("soft_label") or None,
        **case.shared(y, z),
    )


def gwdl(case, y, z):
    return call(
        "wasserstein_dice",
        y,
        z,
        distances=case.take("M", "dist_matrix"),
        weighting=case.take("weighting_mode", default="default").lower(),
        smooth_nr=case.take("smooth_nr", "nr"),
        smooth_dr=case.take("smooth_dr", "dr"),
        **{**case.shared(y, z), "activation": "softmax"},
    )


def lovasz_hinge(case, y, z):
    case.take("classes")
    over = "image" if case.take("per_image", default=False) else "batch"
    return call("lovasz_hinge", y, z, joint=True, **case.shared(y, z) | {"over": over, "activation": "sigmoid"})


def lovasz_softmax(case, y, z):
    classes = case.take("classes", default="present")
    over = "image" if case.take("per_image", default=False) else "batch"
    picked = {} if isinstance(classes, str) else {"classes": classes}
    absent = "skip" if classes == "present" else "count"
    return call("lovasz_softmax", y, z, absent=absent, **picked, **case.shared(y, z) | {"over": over})


def mcc_monai(case, y, z):
    smooth = {"smooth_nr": case.take("smooth_nr", "nr"), "smooth_dr": case.take("smooth_dr", "dr")}
    return call("mcc", y, z, **smooth, **case.shared(y, z))


def mcc_smp(case, y, z):
    eps = case.take("eps", default=1e-5)
    if len(y.shape) == len(z.shape):
        # Its counts run over the channels, too.
        y, z = (tf.reshape(tf.convert_to_tensor(x), [x.shape[0], -1, 1]) for x in (y, z))
    return call("mcc", y, z, smooth_dr=0.0, count_smooth=eps, **{**case.shared(y, z), "over": "batch"})


def boundary(case, y, z):
    return call("boundary", y, z, **case.shared(y, z))


def hausdorff_dt(case, y, z):
    shared = case.shared(y, z)
    background = case.take("include_background", default=False) or z.shape[-1] == 1
    log = bool(case.take("log", default=False)) or case.formula.startswith("log")
    return call("hausdorff", y, z, alpha=case.take("alpha"), log=log, **{**shared, "include_background": background})


def cldice(case, y, z, name="cldice", **own):
    return call(
        name,
        y,
        z,
        iterations=case.take("iter_", "iterations", "iter"),
        smooth_nr=case.take("smooth_nr", "nr"),
        smooth_dr=case.take("smooth_dr", "dr"),
        epsilon=case.take("smooth"),
        **own,
        **case.shared(y, z),
    )


def dicecldice(case, y, z):
    return cldice(case, y, z, "dice_cldice", alpha=case.take("alpha", default=0.5))


def _sum(first, second, first_weight, second_weight):
    def total(case, y, z):
        weights = case.take(first_weight, default=1.0), case.take(second_weight, default=1.0)
        return weights[0] * first(case, y, z) + weights[1] * second(case, y, z)

    return total


def aufl_monai(case, y, z):
    """MONAI takes probabilities, and clips them."""
    p = tf.sigmoid(z) if case.activation(y, z) == "sigmoid" else tf.nn.softmax(z)
    p = tf.clip_by_value(p, 1e-7, 1 - 1e-7)
    return unified_focal(case, y, p, form="monai", delta=case.take("delta", default=0.7), activation=None)


def unified_focal(case, y, z, **fixed):
    asymmetric = case.take("asym", "asymmetric", default=False)
    options = {
        "form": "asymmetric" if asymmetric else "symmetric",
        "weight": case.take("weight", default=0.5),
        "delta": case.take("delta", default=0.6),
        "gamma": case.take("gamma", default=0.5),
        "epsilon": case.take("eps", "epsilon"),
    }
    case.take("num_classes")
    return call("unified_focal", y, z, **{**case.shared(y, z), **options, **fixed})


def log_cosh_dice(case, y, z):
    per_class = case.formula.endswith("per_class") or bool(case.take("per_class", default=False))
    options = {name: case.take(name) for name in ("smooth_nr", "smooth_dr", "squared")}
    options |= {"absent": "count", "mean_first": "class" if per_class else "batch"}
    return call("log_cosh_dice", y, z, **options, **case.shared(y, z))


def exp_log(case, y, z):
    both = case.take("gamma", default=0.3)
    return call(
        "exp_log",
        y,
        z,
        dice_weight=case.take("w_dice", "weight_dice", "lambda_dice", "dice_weight"),
        cross_entropy_weight=case.take("w_ce", "w_cross", "weight_ce", "lambda_ce", "ce_weight"),
        dice_exponent=case.take("gamma_dice", default=both),
        cross_entropy_exponent=case.take("gamma_ce", "gamma_cross", default=both),
        smooth_nr=case.take("smooth_nr", "nr"),
        smooth_dr=case.take("smooth_dr", "dr"),
        class_weights=case.weights("weights", "weight", "w_label", "label_weights", "w"),
        **case.shared(y, z),
    )


def combo(case, y, z):
    options = {name: case.take(name) for name in ("alpha", "beta", "smooth_nr", "smooth_dr")}
    return call("combo", y, z, **options, **{**case.shared(y, z), "over": "batch"})


def sens_spec(case, y, z):
    weight = case.take("r", "w", "weight", "sensitivity_weight")
    smooth = case.take("eps", "smooth")
    return call("sensitivity_specificity", y, z, sensitivity_weight=weight, smooth=smooth, **case.shared(y, z))


def tanimoto_dual(case, y, z):
    smooth = case.take("smooth", "eps")
    return call("tanimoto", y, z, dual=case.take("dual", default=True), smooth=smooth, **case.shared(y, z))


FORMULAS = {
    "dice": dice,
    "tversky": tversky,
    "gdl": gdl,
    "gwdl": gwdl,
    "focal_sigmoid": focal_sigmoid,
    "focal_softmax": focal_softmax,
    "ce": cross_entropy,
    "topk_ce": topk_ce,
    "lovasz_hinge": lovasz_hinge,
    "lovasz_softmax": lovasz_softmax,
    "mcc_monai": mcc_monai,
    "mcc_smp": mcc_smp,
    "boundary": boundary,
    "hausdorff_dt": hausdorff_dt,
    "cldice": cldice,
    "dicecldice": dicecldice,
    "dicece": _sum(dice, cross_entropy, "lambda_dice", "lambda_ce"),
    "dicebce": _sum(dice, binary_cross_entropy, "lambda_dice", "lambda_ce"),
    "dicefocal": _sum(dice, focal_sigmoid, "lambda_dice", "lambda_focal"),
    "gdfocal": _sum(gdl, focal_sigmoid, "lambda_gdl", "lambda_focal"),
    "aufl_monai": aufl_monai,
    "unified_focal": unified_focal,
    "log_cosh_dice": log_cosh_dice,
    "log_cosh_dice_per_class": log_cosh_dice,
    "exp_log": exp_log,
    "combo": combo,
    "sens_spec": sens_spec,
    "tanimoto_dual": tanimoto_dual,
    "gce": gce,
    "nacl": nacl,
    "bceval": binary_cross_entropy,
}
