"""What to write in place of a whole call that carries no gradient: the soft or the differentiable form of a function.

As in `candidates.py`, nothing here is advice until `replacements.py` has run it.
"""

from __future__ import annotations

import ast

from .candidates import bracketed, name_of
from .softened import Soft, Value

_PROBABILITY = "tf.one_hot(tf.cast({y}, tf.int32), tf.shape({p})[-1])"


def instead(call: ast.Call, text) -> list[str]:
    """Code with the shape of the call's result, the likeliest first; an empty list for an unknown call.

    Args:
      call: any call.
      text: a function from a node to its source.
    """
    writer = _WRITERS.get(name_of(call))
    given = {keyword.arg: text(keyword.value) for keyword in call.keywords if keyword.arg}
    placed = [text(part) for part in call.args if not isinstance(part, ast.Starred)]
    try:
        return writer(placed, given, text(call)) if writer else []
    except (IndexError, KeyError):  # this form of the call lacks an argument
        return []


def soft_values(node: ast.expr, text) -> list[Value]:
    """Soft forms of an expression that draws, picks or counts, for `softened.py`."""
    name = name_of(node)
    given = {keyword.arg: text(keyword.value) for keyword in getattr(node, "keywords", ()) if keyword.arg}
    if isinstance(node, ast.Subscript) and name_of(node.value) in ("categorical", "multinomial"):
        logits = text(node.value.args[0]) if node.value.args else ""
        return [Value(f"tf.nn.softmax({logits})", Soft.CHOICE)] if logits else []
    if name.startswith("non_max_suppression"):
        scores = given.get("scores") or (text(node.args[1]) if len(node.args) > 1 else "")
        return [Value(f"tf.gather({scores}, {text(node)})", Soft.PICKED)] if scores else []
    if name == "in_top_k":
        y = given.get("targets") or text(node.args[0])
        p = given.get("predictions") or text(node.args[1])
        classes = _PROBABILITY.format(y=y, p=p)
        return [Value(f"tf.reduce_sum(tf.nn.softmax({p}) * {classes}, axis=-1)", Soft.TRUTH)]
    if name == "count_nonzero" and node.args:
        rest = "".join(f", {name}={value}" for name, value in given.items() if name in ("axis", "keepdims"))
        rest = f", axis={text(node.args[1])}" if len(node.args) > 1 and "axis" not in given else rest
        return [Value(f"tf.reduce_sum(tf.tanh(tf.abs({text(node.args[0])}) / 0.1){rest})", Soft.LENGTH)]
    return []


def soft_metric(kind: str, call: ast.Call, text) -> list[str]:
    """The soft form of a Keras metric object called on labels and predictions, by the metric's class."""
    placed = [text(part) for part in call.args]
    given = {keyword.arg: text(keyword.value) for keyword in call.keywords if keyword.arg}
    if len(placed) + len(given) < 2:
        return []
    y, p = _both(placed, given)
    shares = [(f"tf.cast({y}, {bracketed(p)}.dtype)", bracketed(p))]
    classes = f"tf.one_hot(tf.cast({y}, tf.int32), tf.shape({p})[-1])"
    shares.append((classes, bracketed(p) if "softmax" in p else f"tf.nn.softmax({p})"))
    overlap = "tf.reduce_sum({y} * {p})"
    below = {
        "MeanIoU": "tf.reduce_sum({y} + {p} - {y} * {p})",
        "IoU": "tf.reduce_sum({y} + {p} - {y} * {p})",
        "BinaryIoU": "tf.reduce_sum({y} + {p} - {y} * {p})",
        "OneHotIoU": "tf.reduce_sum({y} + {p} - {y} * {p})",
        "OneHotMeanIoU": "tf.reduce_sum({y} + {p} - {y} * {p})",
        "Precision": "tf.reduce_sum({p})",
        "Recall": "tf.reduce_sum({y})",
    }.get(kind)
    if kind in ("BinaryAccuracy", "Accuracy"):
        return [f"1.0 - tf.reduce_mean(tf.abs({a} - {b}))" for a, b in shares]
    if kind in ("CategoricalAccuracy", "SparseCategoricalAccuracy"):
        return [f"tf.reduce_mean(tf.reduce_sum({a} * {b}, axis=-1))" for a, b in shares]
    if kind in ("Mean", "Sum") and len(placed) == 1:
        return [f"tf.reduce_{kind.lower()}({placed[0]})"]
    return [f"{overlap} / ({below} + 1e-7)".format(y=a, p=b) for a, b in shares] if below else []


def _both(placed: list[str], given: dict[str, str]) -> tuple[str, str]:
    """Labels and predictions of a metric or a loss."""
    y = given.get("y_true") or given.get("labels") or placed[0]
    p = given.get("y_pred") or given.get("logits") or placed[-1 if len(placed) < 2 else 1]
    return y, p


def _binary_accuracy(placed, given, call):
    y, p = _both(placed, given)
    gap = f"tf.abs({bracketed(y)} - {bracketed(p)})"
    return [f"1.0 - {gap}", f"1.0 - tf.reduce_mean({gap}, axis=-1)"]


def _class_accuracy(placed, given, call):
    y, p = _both(placed, given)
    return [f"tf.reduce_sum({bracketed(y)} * {bracketed(p)}, axis=-1)"]


def _id_accuracy(placed, given, call):
    y, p = _both(placed, given)
    p = bracketed(p)
    found = [f"tf.reduce_sum({_PROBABILITY.format(y=y, p=p)} * {p}, axis=-1)"]
    return [*found, f"tf.reduce_sum({_PROBABILITY.format(y=f'tf.reshape({y}, [-1])', p=p)} * {p}, axis=-1)"]


def _histogram(placed, given, call):
    values, edges = given.get("values") or placed[0], given.get("value_range") or placed[1]
    bins = given.get("nbins") or (placed[2] if len(placed) > 2 else "100")
    centres = f"tf.linspace(*{edges}, {bins})"
    distance = f"tf.square({bins} * (tf.reshape({values}, [-1, 1]) - {centres}))"
    return [f"tf.reduce_sum(tf.nn.softmax(-{distance}, axis=-1), axis=0)"]


def _searchsorted(placed, given, call):
    edges, values = placed[0], placed[1]
    gaps = f"tf.expand_dims({values}, -1) - tf.expand_dims({edges}, -2)"
    return [f"tf.reduce_sum(tf.sigmoid(({gaps}) / 0.1), axis=-1)"]


def _argsort(placed, given, call):
    x, falls = placed[0], "DESCENDING" in given.get("direction", "")
    inner = call.count("argsort") > 1  # argsort of argsort is the rank
    x = x[x.index("(") + 1 :].rpartition(")")[0].split(", axis")[0] if inner and "(" in x else x
    gaps = f"tf.expand_dims({x}, -1) - tf.expand_dims({x}, -2)"
    sign = "-" if falls else ""
    return [f"tf.reduce_sum(tf.sigmoid({sign}({gaps}) / 0.1), axis=-1) - 0.5"] if inner else []


def _bincount(placed, given, call):
    bins, weights = placed[0], given["weights"]
    length = given.get("minlength") or given.get("maxlength") or f"tf.reduce_max({bins}) + 1"
    return [f"tf.math.unsorted_segment_sum({weights}, {bins}, {length})"]


def _resize(placed, given, call):
    if "area" not in given.get("method", "").lower():
        return []
    return [f"tf.image.resize({', '.join(placed)}, antialias=True)"]


def _lstsq(placed, given, call):
    return [f"tf.linalg.lstsq({', '.join(placed[:2])}, l2_regularizer=1e-6)"]


def _poisson(placed, given, call):
    rate = given.get("lam") or placed[1]
    x = bracketed(rate)
    return [f"{x} + tf.stop_gradient({call} - {x})"]


def _saturation(placed, given, call):
    image, factor = placed[0], bracketed(given.get("saturation_factor") or placed[1])
    return [f"{factor} * {bracketed(image)} + (1.0 - {factor}) * tf.image.rgb_to_grayscale({image})"]


def _contrast(placed, given, call):
    image, factor = bracketed(placed[0]), bracketed(given.get("contrast_factor") or placed[1])
    mean = f"tf.reduce_mean({placed[0]}, axis=[-3, -2], keepdims=True)"
    return [f"({image} - {mean}) * {factor} + {mean}"]


def _cross_entropy(placed, given, call):
    labels, logits = given["labels"], given["logits"]
    name = call.partition("(")[0]
    return [f"{name}(labels={logits}, logits={labels})"]


def _mapped(placed, given, call):
    return [", ".join(placed[1:])] if "stop_gradient" in placed[0] and len(placed) == 2 else []


def _python(placed, given, call):
    function, inputs = given.get("func") or placed[0], given.get("inp") or placed[1]
    listed = inputs.strip()
    if not listed.startswith("[") or not listed.endswith("]") or "lambda" in function:
        return []
    inner = listed[1:-1].strip().rstrip(",")
    found = [f"{function}({inner})"] if function.isidentifier() or "." in function else []
    if inner:
        first = ast.unparse(ast.parse(listed, mode="eval").body.elts[0])
        x = bracketed(first)
        found.append(f"{x} + tf.stop_gradient(tf.cast(tf.reshape({call}, tf.shape({first})), {x}.dtype) - {x})")
    return found


def _gather(placed, given, call):
    """Rows at a fractional index: a mean of the rows, weighted by how near they are."""
    table, place = placed[0], placed[1]
    tree = ast.parse(place, mode="eval").body
    while isinstance(tree, ast.Call) and name_of(tree) in ("cast", "round", "floor", "ceil", "rint", "astype", "int"):
        tree = tree.args[0] if tree.args else getattr(tree.func, "value", tree)
    place = ast.unparse(tree)
    return [soft_lookup(table, place)]


def soft_lookup(table: str, place: str) -> str:
    """A mean of the rows of a table, weighted by their distance from a fractional index."""
    rows = f"tf.range(tf.cast(tf.shape({table})[0], tf.float32))"
    return f"tf.tensordot(tf.nn.softmax(-tf.square(tf.expand_dims({place}, -1) - {rows})), {table}, 1)"


def _one_hot(placed, given, call):
    """One-hot code of a class made by a cast: a share that falls with the distance."""
    tree = ast.parse(placed[0], mode="eval").body
    if name_of(tree) not in ("cast", "astype", "to_int32", "round"):
        return []
    while isinstance(tree, ast.Call) and name_of(tree) in ("cast", "round", "floor", "ceil", "astype", "to_int32"):
        tree = tree.args[0] if tree.args and name_of(tree) != "astype" else tree.func.value
    depth = given.get("depth") or placed[1]
    rows = f"tf.range({depth}, dtype=tf.float32)"
    return [f"tf.nn.softmax(-tf.square(tf.expand_dims({ast.unparse(tree)}, -1) - {rows}))"]


_WRITERS = {
    "binary_accuracy": _binary_accuracy,
    "categorical_accuracy": _class_accuracy,
    "top_k_categorical_accuracy": _class_accuracy,
    "sparse_categorical_accuracy": _id_accuracy,
    "sparse_top_k_categorical_accuracy": _id_accuracy,
    "histogram_fixed_width": _histogram,
    "searchsorted": _searchsorted,
    "argsort": _argsort,
    "bincount": _bincount,
    "resize": _resize,
    "lstsq": _lstsq,
    "poisson": _poisson,
    "adjust_saturation": _saturation,
    "adjust_contrast": _contrast,
    "softmax_cross_entropy_with_logits": _cross_entropy,
    "sigmoid_cross_entropy_with_logits": _cross_entropy,
    "map_structure": _mapped,
    "numpy_function": _python,
    "py_function": _python,
    "py_func": _python,
    "gather": _gather,
    "one_hot": _one_hot,
}
