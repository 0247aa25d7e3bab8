"""Code to try in place of an expression that cuts, kills or spoils a gradient, in order of preference.

Nothing here is advice yet. `replacements.py` runs each candidate in the user's function, and only those that help are
shown. In the templates `{x}` and `{y}` are the operands of the user's expression, `{e}` is the expression itself.
"""

from __future__ import annotations

import ast
import re

from .source import spells

_STEPS = ("Greater", "GreaterEqual")
_FALLS = ("Less", "LessEqual")
_ROUNDINGS = {"Round": "tf.round", "Rint": "tf.round", "Floor": "tf.floor", "Ceil": "tf.math.ceil"}
_CASTS = ("cast", "astype", "to_float", "convert_to_tensor", "identity")

_SOFT_INDEX = "tf.tensordot({p}, tf.range(tf.cast(tf.shape({x})[{axis}], tf.float32)), [[{axis}], [0]])"
_MISSING = {
    "Sign": ["tf.tanh(5.0 * {x})"],
    "ZerosLike": ["{x}"],
    "OnesLike": ["{x}"],
    "Bitcast": ["tf.cast({x}, tf.float32)"],
    "LogicalAnd": ["{x} * {y}"],
    "LogicalOr": ["{x} + {y} - {x} * {y}"],
    "LogicalNot": ["1.0 - {x}"],
    "FloorDiv": ["{x} / {y} + tf.stop_gradient({e} - {x} / {y})", "{x} / {y}"],
    **{op: ["{x} + tf.stop_gradient(" + rounding + "({x}) - {x})", "{x}"] for op, rounding in _ROUNDINGS.items()},
    "Equal": ["tf.exp(-tf.abs({x} - {y}))"],
    "NotEqual": ["1.0 - tf.exp(-tf.abs({x} - {y}))"],
}
_ZERO = {
    "Relu": ["tf.nn.leaky_relu({x}, alpha=0.1)", "tf.nn.softplus({x})"],
    "Relu6": ["tf.nn.leaky_relu({x}, alpha=0.1)"],
    "Maximum": ["{y} + tf.nn.softplus({x} - {y})", "{x}"],
    "Minimum": ["{y} - tf.nn.softplus({y} - {x})", "{x}"],
    "ClipByValue": ["{x} + tf.stop_gradient({e} - {x})"],
    "Softmax": ["tf.sigmoid({x})"],
    "Sign": ["tf.tanh(5.0 * {x})"],
    "Tanh": ["tf.nn.softsign({x})"],
    "Sigmoid": ["0.5 + 0.5 * tf.nn.softsign({x})"],
    "Abs": ["tf.sqrt(tf.square({x}) + 1e-12)"],
    "Sub": ["{x} - tf.stop_gradient({y})"],
    "Max": ["tf.reduce_logsumexp({x}{options})"],
    "Min": ["-tf.reduce_logsumexp(-{x}{options})"],
}
_NAN = {
    "RealDiv": [
        "tf.math.divide_no_nan({x}, {y})",
        "{x} / ({y} + 1e-7)",
        "({x} + 1e-7) / ({y} + 1e-7)",
        "{x} / tf.maximum({y}, 1e-7)",
    ],
    "Log": ["tf.math.log({x} + 1e-7)", "tf.math.log(tf.maximum({x}, 1e-7))", "tf.math.log(tf.nn.softplus({x}))"],
    "Log1p": ["tf.math.log1p(tf.maximum({x}, -1.0 + 1e-6))"],
    "Sqrt": ["tf.sqrt({x} + 1e-12)", "tf.sqrt(tf.maximum({x}, 1e-12))"],
    "Rsqrt": ["tf.math.rsqrt({x} + 1e-7)", "tf.math.rsqrt(tf.maximum({x}, 1e-7))"],
    "Pow": ["tf.pow({x} + 1e-7, {y})", "tf.pow(tf.maximum({x}, 1e-7), {y})", "tf.pow(tf.abs({x}) + 1e-7, {y})"],
    "Exp": ["tf.exp({x} - tf.reduce_max({x}, axis=-1, keepdims=True))", "tf.exp(tf.minimum({x}, 20.0))"],
    "Reciprocal": ["1.0 / ({x} + 1e-7)", "tf.math.reciprocal_no_nan({x})"],
    "Inv": ["1.0 / ({x} + 1e-7)", "tf.math.reciprocal_no_nan({x})"],
    "Acos": ["tf.acos({x} * (1.0 - 1e-6))", "tf.acos(tf.clip_by_value({x}, -1.0 + 1e-6, 1.0 - 1e-6))"],
    "Asin": ["tf.asin({x} * (1.0 - 1e-6))", "tf.asin(tf.clip_by_value({x}, -1.0 + 1e-6, 1.0 - 1e-6))"],
    "Atan2": ["tf.atan2({x} + 1e-7, {y} + 1e-7)"],
    "Xlogy": ["{x} * tf.math.log({y} + 1e-7)"],
    "Xdivy": ["{x} / ({y} + 1e-7)"],
    "DivNoNan": ["{x} / ({y} + 1e-7)"],
    "ComplexAbs": ["tf.sqrt(tf.square(tf.math.real({x})) + tf.square(tf.math.imag({x})) + 1e-12)"],
    "Cast": ["tf.cast({x}, tf.float32)"],
    "Softmax": ["tf.nn.softmax(tf.cast({x}, tf.float32))"],
    "MatrixInverse": ["tf.linalg.inv({x} + 1e-3 * tf.eye(tf.shape({x})[-1]))"],
    "Cholesky": ["tf.linalg.cholesky({x} + 1e-3 * tf.eye(tf.shape({x})[-1]))"],
    "EuclideanNorm": ["tf.sqrt(tf.reduce_sum(tf.square({x}){options}) + 1e-12)"],
    "MatrixDeterminant": ["tf.linalg.det({x} + 1e-3 * tf.eye(tf.shape({x})[-1]))"],
}


def spelled(tree: ast.AST, op_type: str) -> list[ast.expr]:
    """The expressions of a statement that an op of this type may have come from."""
    extra = {
        "ComplexAbs": ("abs",),
        "ClipByValue": ("clip_by_value", "clip"),
        "Minimum": ("clip_by_value", "clip"),
        "Maximum": ("clip_by_value", "clip"),
        "Sqrt": ("norm", "reduce_std", "std", "sqrt"),
        "Relu": ("relu",),
        "Sigmoid": ("sigmoid",),
        "Square": ("square",),
        "MatrixDeterminant": ("det",),
        "MatrixInverse": ("inv",),
        "EuclideanNorm": ("reduce_euclidean_norm",),
        "LogSoftmax": ("log_softmax",),
    }.get(op_type, ())
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.expr)
        and (spells(node, op_type) or isinstance(node, ast.Call) and name_of(node) in extra)
    ]


def around(tree: ast.AST, target: ast.expr) -> list[ast.expr]:
    """The expression and those around it that belong to it (a cast, a choice, a one-hot code), the outermost first."""
    chain = [target]
    while True:
        outer = next((node for node in ast.walk(tree) if isinstance(node, ast.Call) and _takes(node, chain[0])), None)
        if outer is None or outer in chain:
            return chain
        chain.insert(0, outer)


def _takes(call: ast.Call, inner: ast.expr) -> bool:
    name = name_of(call)
    if name in _CASTS:
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        return inner in call.args[:1] or inner is owner
    return name in ("where", "one_hot", "equal") and inner in call.args[: 2 if name == "equal" else 1]


def expressions(kind: str, cause: str, op_type: str, whole: ast.expr, target: ast.expr, text) -> list[str]:
    """Code to try in place of `whole`, which is `target` or has it inside.

    Args:
      kind, cause, op_type: of the finding.
      whole: the expression to be replaced.
      target: the expression that spells the op.
      text: a function from a node to its source.
    """
    x, y, e = *_two(target, text), text(target)
    values = {"x": bracketed(x), "y": bracketed(y), "e": bracketed(e), "options": _options(target, text)}
    name = name_of(whole)
    if cause == "stop_gradient":
        return [x] if whole is target and x else []
    if kind == "nonfinite":
        return _spoiled(op_type, whole, target, values, text)
    if op_type in _STEPS + _FALLS:
        soft = _soft_step(op_type, x, y)[-1]
        if whole is not target and name == "where" and len(whole.args) == 3:
            on, off = text(whole.args[1]), text(whole.args[2])
            if (_number(on), _number(off)) != (1.0, 0.0):
                return [f"{soft} * {bracketed(on)} + (1.0 - {soft}) * {bracketed(off)}"]
        elif whole is not target and name not in _CASTS:
            return []
        return _soft_step(op_type, x, y)
    if op_type in ("ArgMax", "ArgMin") and x:
        axis, soft = _axis(target, text), _soft_choice(op_type, target, x, text)
        if name == "one_hot":
            return [soft]
        if name == "equal":
            other = next((text(part) for part in whole.args if target not in list(ast.walk(part))), "")
            return [f"tf.reduce_sum({soft} * tf.one_hot(tf.cast({other}, tf.int32), tf.shape({soft})[-1]), axis=-1)"]
        return [_SOFT_INDEX.format(p=soft, x=values["x"], axis=axis)]
    if name == "one_hot" or name == "where" and whole is not target:
        return []
    if op_type == "Cast" and cause == "integer_cast":
        return [f"{x} + tf.stop_gradient(tf.cast({e}, {values['x']}.dtype) - {values['x']})", x] if x else []
    table = (_ZERO, _MISSING) if kind == "zero" else (_MISSING, {})
    templates = table[0].get(op_type) or table[1].get(op_type, [])
    if op_type in ("Maximum", "Minimum") and name_of(target) in ("relu",):
        templates = _ZERO["Relu"]
    elif op_type in ("Maximum", "Minimum") and name_of(target) in ("clip_by_value", "clip"):
        templates = _ZERO["ClipByValue"]
    elif op_type in ("Maximum", "Minimum") and _number(x) is not None:
        values["x"], values["y"] = values["y"], values["x"]
    if op_type == "ClipByValue" and kind != "zero":
        templates = []
    return [_filled(template, values) for template in templates if x and ("{y}" not in template or y)]


def soft_forms(op_type: str, target: ast.expr, text) -> list:
    """Soft forms of a test or a choice, for `softened.py`: code, and what it stands for."""
    from .softened import Soft, Value

    x, y = _two(target, text)
    if op_type in _STEPS + _FALLS and x and y:
        return [Value(code, Soft.TRUTH) for code in _soft_step(op_type, x, y)]
    if op_type in ("ArgMax", "ArgMin") and x:
        return [Value(_soft_choice(op_type, target, x, text), Soft.CHOICE)]
    if op_type in ("Round", "Rint") and x and name_of(target) in ("round", "rint"):
        return [Value(x, Soft.TRUTH)]  # a probability rounded to 0 or 1
    if op_type in ("Cast",) and name_of(target) in ("cast", "astype") and "bool" in text(target):
        return [Value(x, Soft.TRUTH)]
    return []


def _soft_step(op_type: str, x: str, y: str) -> list[str]:
    """A test as a number between 0 and 1: the probability itself, then a steep sigmoid of the distance."""
    rises = op_type in _STEPS
    above, below = (bracketed(x), bracketed(y)) if rises else (bracketed(y), bracketed(x))
    gap = above if below in ("0", "0.0") else f"({above} - {below})"
    plain = x if rises and _is_share(y) else ""
    return [code for code in (plain, f"tf.sigmoid({gap} / 0.1)") if code]


def _soft_choice(op_type: str, target: ast.expr, x: str, text) -> str:
    sign = "" if op_type == "ArgMax" else "-"
    if "softmax(" in x and not sign:
        return x
    return f"tf.nn.softmax({sign}{bracketed(x)}, axis={_axis(target, text)})"


def _spoiled(op_type: str, whole: ast.expr, target: ast.expr, values: dict, text) -> list[str]:
    name = name_of(target)
    if whole is not target:
        return []
    options = values["options"]
    x = values["x"].strip()
    if name == "norm" and not re.search(r"\bord\b", options):
        return [f"tf.sqrt(tf.reduce_sum(tf.square({x}){options}) + 1e-12)"]
    if name in ("reduce_std", "std"):
        return [f"tf.sqrt(tf.math.reduce_variance({x}{options}) + 1e-12)"]
    if op_type == "Sum":
        return [f"tf.reduce_sum(tf.cast({x}, tf.float32){options})"]
    if op_type == "Mean":
        return [f"tf.math.divide_no_nan(tf.reduce_sum({x}{options}), tf.cast(tf.size({x}), {x}.dtype))"]
    if op_type in ("Sqrt", "Pow") and isinstance(target, ast.BinOp):
        op_type = "Pow"
    if op_type == "Mul":
        return []
    return [_filled(t, values) for t in _NAN.get(op_type, []) if values["x"] and ("{y}" not in t or values["y"])]


def _options(target: ast.expr, text) -> str:
    """A call's arguments besides its operands: `, axis=-1, keepdims=True`."""
    if not isinstance(target, ast.Call):
        return ""
    rest = [text(part) for part in target.args[1:]] + [f"{k.arg}={text(k.value)}" for k in target.keywords]
    return "".join(f", {part}" for part in rest if part)


def _filled(template: str, values: dict[str, str]) -> str:
    """The template with its values, without double brackets, and without zeros as in `softplus(x - 0.0)`."""
    bare = {
        f"bare_{name}": code[1:-1] if code.startswith("(") and bracketed(code[1:-1]) == code else code
        for name, code in values.items()
    }
    template = re.sub(r"(?<=\w\()\{([xye])\}(?=[,)])", r"{bare_\1}", template)
    code = template.format(**values, **bare)
    code = re.sub(r" - \(?0(?:\.0)?\)?(?=\))", "", code)
    code = re.sub(r"^\(?0(?:\.0)?\)? \+ ", "", code)
    return code


def _two(node: ast.expr, text) -> tuple[str, str]:
    """An expression's first and second operand, "" where there is none."""
    if isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp):
        parts = [node.operand]
    elif isinstance(node, ast.Call):
        module = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, (ast.Name, ast.Attribute))
        parts = list(node.args) or [keyword.value for keyword in node.keywords]
        if isinstance(node.func, ast.Attribute) and (not module or not parts):
            parts = [node.func.value, *parts]  # a method: scores.argmax()
    else:
        parts = []
    found = [text(part) for part in parts[:2]] + ["", ""]
    return found[0], found[1]


def _axis(node: ast.expr, text) -> str:
    if isinstance(node, ast.Call):
        named = [keyword.value for keyword in node.keywords if keyword.arg in ("axis", "dimension")]
        if named or len(node.args) > 1:
            return text((named or node.args[1:])[0])
    return "0"


def name_of(node: ast.AST) -> str:
    """The last part of the name of a call: `reduce_mean` of `tf.reduce_mean(x)`."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _number(code: str) -> float | None:
    try:
        return float(ast.literal_eval(code))
    except (ValueError, SyntaxError, TypeError):
        return None


def _is_share(code: str) -> bool:
    """Whether a threshold may be one of a probability: a number between zero and one, or no literal number."""
    number = _number(code)
    return number is not None and 0.0 < number < 1.0


def bracketed(code: str) -> str:
    """The code, in brackets where an operator beside it would bind tighter."""
    try:
        node = ast.parse(code, mode="eval").body
    except (SyntaxError, ValueError):
        return code
    loose = (ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp, ast.IfExp, ast.Lambda)
    constant = isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
    return f"({code})" if isinstance(node, loose) and not constant else code
