"""The losses by name: module, options, purpose and short names.

Plain Python, so that a configuration is checked without TensorFlow. A test holds the table equal to the functions'
signatures; `python -m losses` prints it.
"""

import difflib
import importlib
import itertools
import re
from typing import NamedTuple

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


class Row(NamedTuple):
    """A loss of the catalogue.

    module: its file.   options: its own, and with a minus sign the common ones it cannot honour.   purpose: a line.
    """

    module: str
    options: str
    purpose: str


_SMOOTH = "smooth_nr smooth_dr"
_REGION = f"{_SMOOTH} squared soft_label"
_WHOLE = "-classes -include_background"

LOSSES = {
    "dice": Row("overlap", f"{_REGION} log_loss absent", "overlap; objects much smaller than the image"),
    "jaccard": Row("overlap", f"{_REGION} log_loss absent", "intersection over union"),
    "tversky": Row("overlap", f"alpha beta {_REGION} log_loss absent", "Dice that weighs missed against invented"),
    "focal_tversky": Row("overlap", f"gamma alpha beta {_REGION} absent", "Tversky with a power of each class"),
    "generalised_dice": Row("overlap", f"weighting {_REGION} absent", "Dice of all classes at once, rare ones up"),
    "log_cosh_dice": Row("overlap", f"mean_first {_REGION} absent", "Dice with a flatter slope near a good fit"),
    "tanimoto": Row("overlap", "dual smooth", "squared Jaccard, with its complement"),
    "cross_entropy": Row("cross_entropies", "label_smoothing", "classes that exclude each other"),
    "binary_cross_entropy": Row(
        "cross_entropies", "positive_weight label_smoothing", "one channel, or several that do not exclude each other"
    ),
    "top_k_cross_entropy": Row("cross_entropies", "percent label_smoothing", "the hardest pixels alone"),
    "generalised_cross_entropy": Row("cross_entropies", "q", "noisy labels"),
    "focal_softmax": Row("focal", "gamma alpha mean_over", "cross-entropy with easy pixels turned down"),
    "focal_sigmoid": Row("focal", "gamma alpha", "the same of each channel by itself"),
    "unified_focal": Row("focal", f"form weight delta gamma epsilon {_WHOLE} -class_weights", "focal CE and Tversky"),
    "lovasz_softmax": Row("lovasz", "absent -pixel_weights", "mean IoU itself, by ranking the pixels"),
    "lovasz_hinge": Row("lovasz", "absent joint -pixel_weights", "IoU of each channel's logits, by ranking"),
    "boundary": Row("contour", "distance_maps spacing", "distance to the border; with a region loss"),
    "hausdorff": Row("contour", "alpha log spacing", "the farthest mistakes"),
    "cldice": Row("skeleton", f"iterations {_SMOOTH} epsilon -class_weights", "vessels and roads that stay connected"),
    "dice_cldice": Row("skeleton", f"alpha iterations {_SMOOTH} epsilon -class_weights", "Dice and clDice"),
    "mcc": Row("confusion", f"{_SMOOTH} count_smooth", "Matthews correlation; true negatives count, too"),
    "sensitivity_specificity": Row("confusion", "sensitivity_weight smooth", "errors inside against errors outside"),
    "wasserstein_dice": Row(
        "wasserstein", f"distances weighting background {_SMOOTH} {_WHOLE} -class_weights", "classes that are alike"
    ),
    "combo": Row("mixtures", f"alpha beta {_SMOOTH}", "weighted cross-entropy less Dice"),
    "exp_log": Row(
        "mixtures",
        f"dice_weight cross_entropy_weight dice_exponent cross_entropy_exponent {_SMOOTH} {_WHOLE}",
        "powers of the logarithms of Dice and cross-entropy",
    ),
    "nacl": Row(
        "calibration", f"alpha kernel_size distance {_WHOLE} -class_weights", "probabilities that mean what they say"
    ),
}

# What people call them elsewhere: a loss, or a sum of them.
SHORT_NAMES = {
    "soft_dice": "dice",
    "dsc": "dice",
    "f1": "dice",
    "iou": "jaccard",
    "soft_iou": "jaccard",
    "soft_jaccard": "jaccard",
    "miou": "jaccard",
    "ftl": "focal_tversky",
    "gdl": "generalised_dice",
    "generalized_dice": "generalised_dice",
    "logcosh_dice": "log_cosh_dice",
    "ce": "cross_entropy",
    "crossentropy": "cross_entropy",
    "softmax_cross_entropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "categorical_cross_entropy": "cross_entropy",
    "sparse_categorical_crossentropy": "cross_entropy",
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy",
    "binary_crossentropy": "binary_cross_entropy",
    "sigmoid_cross_entropy": "binary_cross_entropy",
    "topk": "top_k_cross_entropy",
    "top_k": "top_k_cross_entropy",
    "ohem": "top_k_cross_entropy",
    "gce": "generalised_cross_entropy",
    "generalized_cross_entropy": "generalised_cross_entropy",
    "focal": "focal_softmax",
    "softmax_focal": "focal_softmax",
    "categorical_focal": "focal_softmax",
    "binary_focal": "focal_sigmoid",
    "sigmoid_focal": "focal_sigmoid",
    "ufl": "unified_focal",
    "lovasz": "lovasz_softmax",
    "surface": "boundary",
    "hd": "hausdorff",
    "hausdorff_dt": "hausdorff",
    "cl_dice": "cldice",
    "soft_cldice": "cldice",
    "centerline_dice": "cldice",
    "matthews": "mcc",
    "wasserstein": "wasserstein_dice",
    "gwdl": "wasserstein_dice",
    "exponential_logarithmic": "exp_log",
}
SHORT_NAMES |= {
    f"{first}_{second}": f"{SHORT_NAMES.get(first, first)}+{SHORT_NAMES.get(second, second)}"
    for region, pixel in itertools.product(("dice", "iou", "jaccard", "tversky", "gdl"), ("ce", "bce", "focal"))
    for first, second in ((region, pixel), (pixel, region))
    # "focal_tversky" is a loss, and the other way round it would only be taken for it.
    if (region, pixel) != ("tversky", "focal")
}


def function_of(name: str):
    """The loss of this name; imports its module, and so TensorFlow."""
    return getattr(importlib.import_module(f".{_row(name).module}", __package__), name)


def options_of(name: str) -> tuple[str, ...]:
    """The keyword arguments the loss of this name takes, `all_reduce` aside (which the training loop gives).

    Raises:
        ValueError: no loss has this name.
    """
    return own_options(name) + tuple(o for o in COMMON if o not in refused_options(name))


def own_options(name: str) -> tuple[str, ...]:
    """The options that only this loss and its relatives have."""
    return tuple(o for o in _row(name).options.split() if not o.startswith("-"))


def refused_options(name: str) -> tuple[str, ...]:
    """The common options this loss cannot honour."""
    return tuple(o[1:] for o in _row(name).options.split() if o.startswith("-"))


def short_names_of(name: str) -> tuple[str, ...]:
    """The other names this loss goes by."""
    return tuple(short for short, meaning in SHORT_NAMES.items() if meaning == name)


def read_sum(sum_of_losses: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`"dice+ce"` to the names of its terms, `("dice", "cross_entropy")`, and what is wrong with it, a clause each."""
    terms, wrong = [], []
    for word in sum_of_losses.split("+"):
        meaning = _meaning(word)
        terms += [] if meaning is None else meaning.split("+")
        if not word.strip():
            wrong.append("an empty term")
        elif meaning is None:
            wrong.append(f"{word.strip()!r} is no loss{_suggestion(word)}")
    wrong += [f"{term!r} is there twice (use weights)" for term in sorted(set(terms)) if terms.count(term) > 1]
    return tuple(dict.fromkeys(terms)), tuple(wrong)


def terms_of(sum_of_losses: str) -> tuple[str, ...]:
    """`"dice+ce"` to `("dice", "cross_entropy")`: names of LOSSES or SHORT_NAMES, joined by `+`.

    Raises:
        ValueError: an unknown name, an empty or a repeated term; all of them in one message.
    """
    terms, wrong = read_sum(sum_of_losses)
    if wrong:
        raise ValueError(f"{'; '.join(wrong)}. {listing()}\nReceived: {sum_of_losses!r}")
    return terms


def term_of(key: str) -> str:
    """The term that a key of options means, `"ce"` the cross-entropy; the key itself if it means none or several."""
    meaning = _meaning(key)
    return key if meaning is None or "+" in meaning else meaning


def listing() -> str:
    """All losses in a sentence, for messages."""
    return (
        f"The losses are: {', '.join(sorted(LOSSES))}; and short names such as ce, bce, focal, iou, dice_ce "
        f"(python -m {__package__} lists all of them with their options)."
    )


def nearest_losses(word: str, count: int = 4) -> tuple[str, ...]:
    """Names a misspelt or incomplete one may stand for, the nearest first: as a whole, or by a word in it."""
    scores: dict[str, float] = {}
    wanted = _snake(word)
    for name, meaning in {**{name: name for name in LOSSES}, **SHORT_NAMES}.items():
        score = difflib.SequenceMatcher(None, wanted, name).ratio()
        if "+" not in meaning:
            # "entropy" is in four names: what counts is how much of the word is found, and then how much of the name.
            score = max(score, 0.8 * _found(wanted, name) + 0.2 * _found(name, wanted))
        scores[meaning] = max(scores.get(meaning, 0), score)
    close = [name for name in sorted(scores, key=scores.get, reverse=True) if scores[name] > 0.66]
    return tuple(close[:count])


def _found(these: str, those: str) -> float:
    """How well the words of one name are found among those of another, 0 to 1."""
    matches = [max(difflib.SequenceMatcher(None, a, b).ratio() for b in those.split("_")) for a in these.split("_")]
    return sum(matches) / len(matches)


def table() -> str:
    """The catalogue in Markdown, a row a loss: name, short names, options of its own, purpose."""
    rows = ["| loss | also called | options of its own | for |", "|---|---|---|---|"]
    for name, row in LOSSES.items():
        short, own = (", ".join(f"`{word}`" for word in words) for words in (short_names_of(name), own_options(name)))
        rows.append(f"| `{name}` | {short} | {own} | {row.purpose} |")
    sums = ", ".join(f"`{short}`" for short, meaning in SHORT_NAMES.items() if "+" in meaning)
    return "\n".join(rows) + f"\n\nShort names of sums: {sums}.\n"


def _meaning(word: str) -> str | None:
    """The loss, or sum of losses, that a word names; in any spelling of it: `Dice-CE`, `FocalTversky`, `iou_loss`."""
    for spelling in (word.strip(), _snake(word), word.strip().lower()):
        if spelling in LOSSES:
            return spelling
        if spelling in SHORT_NAMES:
            return SHORT_NAMES[spelling]
    return None


def _snake(word: str) -> str:
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word.strip().removesuffix("Loss"))
    return re.sub(r"[\s-]+", "_", word).lower().removesuffix("_loss").strip("_")


def _suggestion(word: str) -> str:
    close = [repr(name) for name in nearest_losses(word)]
    if not close:
        return ""
    return f" (did you mean {' or '.join(filter(None, [', '.join(close[:-1]), close[-1]]))}?)"


def _row(name: str) -> Row:
    if name not in LOSSES:
        meaning = _meaning(name)
        known = f"; it is short for {meaning!r}" if meaning else _suggestion(name)
        raise ValueError(f"{name!r} is no loss{known}. {listing()}")
    return LOSSES[name]
