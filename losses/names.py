"""The losses by name, and the options each takes: plain Python, so that a configuration is checked without TensorFlow.

A test holds this table equal to the functions' signatures.
"""

import importlib

from .engine.spelling import nearest

# Options that every loss takes, but for those a row of LOSSES names with a minus sign before them.
COMMON = (
    "activation",
    "from_logits",
    "include_background",
    "classes",
    "ignore_id",
    "mask",
    "class_weights",
    "image_weights",
    "pixel_weights",
    "over",
    "reduction",
    "fused",
)

# name: (module of losses/, its own options).
LOSSES = {
    "dice": ("overlap", "smooth_nr smooth_dr squared soft_label log_loss absent"),
    "jaccard": ("overlap", "smooth_nr smooth_dr squared soft_label log_loss absent"),
    "tversky": ("overlap", "alpha beta smooth_nr smooth_dr squared soft_label log_loss absent"),
    "focal_tversky": ("overlap", "gamma alpha beta smooth_nr smooth_dr squared soft_label absent"),
    "generalised_dice": ("overlap", "weighting smooth_nr smooth_dr squared soft_label absent"),
    "log_cosh_dice": ("overlap", "mean_first smooth_nr smooth_dr squared soft_label absent"),
    "cross_entropy": ("cross_entropies", "label_smoothing"),
    "binary_cross_entropy": ("cross_entropies", "positive_weight label_smoothing"),
    "focal_softmax": ("focal", "gamma alpha mean_over"),
    "focal_sigmoid": ("focal", "gamma alpha"),
    "top_k_cross_entropy": ("cross_entropies", "percent label_smoothing"),
    "generalised_cross_entropy": ("cross_entropies", "q"),
    "lovasz_softmax": ("lovasz", "absent -pixel_weights"),
    "lovasz_hinge": ("lovasz", "absent joint -pixel_weights"),
    "boundary": ("contour", "distance_maps spacing"),
    "hausdorff": ("contour", "alpha log spacing"),
    "cldice": ("skeleton", "iterations smooth_nr smooth_dr epsilon -class_weights"),
    "dice_cldice": ("skeleton", "alpha iterations smooth_nr smooth_dr epsilon -class_weights"),
    "mcc": ("confusion", "smooth_nr smooth_dr count_smooth"),
    "wasserstein_dice": (
        "wasserstein",
        "distances weighting background smooth_nr smooth_dr -classes -include_background -class_weights",
    ),
    "unified_focal": ("focal", "form weight delta gamma epsilon -classes -include_background -class_weights"),
    "combo": ("mixtures", "alpha beta smooth_nr smooth_dr"),
    "exp_log": (
        "mixtures",
        "dice_weight cross_entropy_weight dice_exponent cross_entropy_exponent smooth_nr smooth_dr "
        "-classes -include_background",
    ),
    "tanimoto": ("overlap", "dual smooth"),
    "sensitivity_specificity": ("confusion", "sensitivity_weight smooth"),
    "nacl": ("calibration", "alpha kernel_size distance -classes -include_background -class_weights"),
}


def options_of(name: str) -> tuple[str, ...]:
    """The keyword arguments the loss of this name takes, `all_reduce` aside (which the trainer gives).

    Raises:
        ValueError: no loss has this name.
    """
    return own_options(name) + tuple(o for o in COMMON if o not in refused_options(name))


def function_of(name: str):
    """The loss of this name; imports its module, and so TensorFlow."""
    return getattr(importlib.import_module(f".{_row(name)[0]}", __package__), name)


def own_options(name: str) -> tuple[str, ...]:
    """The options that only this loss and its relatives have."""
    return tuple(o for o in _row(name)[1].split() if not o.startswith("-"))


def refused_options(name: str) -> tuple[str, ...]:
    """The common options this loss cannot honour."""
    return tuple(o[1:] for o in _row(name)[1].split() if o.startswith("-"))


def terms_of(sum_of_losses: str) -> tuple[str, ...]:
    """`"dice+cross_entropy"` to `("dice", "cross_entropy")`.

    Raises:
        ValueError: an unknown name, an empty or a repeated term; all of them in one message.
    """
    terms = tuple(term.strip() for term in sum_of_losses.split("+"))
    wrong = [f"{term!r} is no loss{nearest(term, LOSSES)}" for term in terms if term not in LOSSES]
    wrong += [f"{term!r} is there twice (use weights)" for term in sorted(set(terms)) if terms.count(term) > 1]
    if wrong:
        raise ValueError(
            f"{'; '.join(wrong)}. The losses are: {', '.join(sorted(LOSSES))}.\nReceived: {sum_of_losses!r}"
        )
    return terms


def _row(name):
    if name not in LOSSES:
        raise ValueError(f"{name!r} is no loss{nearest(name, LOSSES)}. The losses are: {', '.join(sorted(LOSSES))}.")
    return LOSSES[name]
