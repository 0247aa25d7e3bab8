"""How a loss is defined: a function of a checked `Problem`, made public with the options every loss shares."""

import functools
import inspect

import tensorflow as tf

from .contract import prepare
from .spelling import nearest

COMMON = {
    p.name: p for p in inspect.signature(prepare).parameters.values() if p.name not in ("y_true", "y_pred", "loss")
}

COMMON_DOC = """
    Options every loss shares; `losses.engine.contract.prepare` says more:
        y_true: ids `[batch, *space]` or labels `[batch, *space, classes]`; y_pred: `[batch, *space, classes]`.
        activation ("softmax", "sigmoid", None for probabilities; from_logits=False is None), include_background,
        classes, ignore_id, mask, class_weights, image_weights, pixel_weights, over ("image", "batch"),
        reduction ("mean", "sum", "none"), fused, all_reduce.

    Raises:
        TypeError: integer or bool predictions; an unknown option.
        ValueError: shapes that differ (never broadcast); an option this loss cannot honour; labels outside the classes,
            masks of 0 and 255, logits for probabilities or the reverse: `tf.errors.InvalidArgumentError` when only
            found at run time in a graph, NaN value and gradient where XLA drops assertions.
"""


def loss(function=None, *, refuses: dict[str, str] | None = None, **defaults):
    """Makes a public loss of `function(problem, *, own options) -> tensor`.

    The public function has the signature `(y_true, y_pred, *, own options, common options)`; its attribute `on` is the
    function of the problem, and `refuses` lists the options that it cannot honour.

    Args:
        refuses: common options the loss cannot honour, each with the reason (which ends up in the error).
        defaults: other defaults for common options.
    """
    if function is None:
        return functools.partial(loss, refuses=refuses, **defaults)
    refuses = refuses or {}
    name = function.__name__
    own = list(inspect.signature(function).parameters.values())[1:]
    common = [p.replace(default=defaults.get(p.name, p.default)) for p in COMMON.values() if p.name not in refuses]
    common_defaults = {p.name: p.default for p in common}
    own_names = {p.name for p in own}

    # AutoGraph has nothing to convert here, and would take longer over it than the tracing itself.
    @tf.autograph.experimental.do_not_convert
    @functools.wraps(function)
    def public(y_true, y_pred, **options):
        _check_names(name, options, own_names, common_defaults, refuses)
        shared = common_defaults | {k: v for k, v in options.items() if k in common_defaults}
        problem = prepare(y_true, y_pred, loss=name, **shared)
        return function(problem, **{k: v for k, v in options.items() if k in own_names})

    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    public.__signature__ = inspect.Signature(
        [inspect.Parameter("y_true", either), inspect.Parameter("y_pred", either), *own, *common]
    )
    public.__doc__ = (function.__doc__ or "").rstrip() + "\n" + COMMON_DOC
    public.on = function
    public.refuses = refuses
    public.common_defaults = common_defaults
    return public


def _check_names(name, options, own, common, refuses):
    refused = [
        f"{option}: {refuses[option]}" for option in options if option in refuses and options[option] is not None
    ]
    if refused:
        raise ValueError(f"{name} cannot honour {'; '.join(refused)}.\nReceived: {sorted(options)}")
    unknown = [o for o in options if o not in own and o not in common and o not in refuses]
    if unknown:
        known = [*sorted(own), *common]
        wrong = ", ".join(f"{o!r}{nearest(o, known)}" for o in unknown)
        raise TypeError(f"{name} has no option {wrong}. It takes: {', '.join(known)}.")
    for option in refuses:
        options.pop(option, None)
