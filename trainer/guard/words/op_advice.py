"""Advice for ops: why they carry no gradient, and what to write instead. Words only: the verdict is TensorFlow's.

Each entry is (why, words). Code is in `candidates.py`, and is shown only after it has been run.
"""

from __future__ import annotations

COMPARISONS = ("Greater", "GreaterEqual", "Less", "LessEqual")
EQUALITIES = ("Equal", "NotEqual", "ApproximateEqual")
LOGIC = ("LogicalAnd", "LogicalOr", "LogicalNot", "All", "Any")
ROUNDING = ("Round", "Rint", "Floor", "Ceil", "FloorDiv", "TruncateDiv")

_INDEX = "an index does not change when the scores change a little"
_STEP = "its output is constant between jumps"

_ARGMAX = (
    _INDEX,
    "Use the probabilities themselves: a softmax is the soft argmax. Keep argmax for the metric.",
)
_THRESHOLD = (
    "its answer is only true or false",
    "Use the probability itself in the loss; keep the threshold for the metric.",
)
_EQUAL = (
    "its answer is only true or false",
    "An accuracy is a metric, not a loss. Compare the probabilities with the labels by a cross-entropy.",
)
_LOGIC = (
    "it works on true and false",
    "Soft forms of the logic keep the gradient: a product for and, a + b - a * b for or, 1 - a for not.",
)
_ROUND = (
    _STEP,
    "Leave the rounding to the metric, or let the gradient pass as if nothing had been rounded.",
)
_SORTED = (
    _INDEX,
    "The values of top_k and sort carry a gradient, their indices do not. Gather with the indices, or weight "
    "by a softmax of the scores.",
)
_SAMPLE = (
    "a random draw is not a function of its probabilities",
    "Draw the noise apart from the parameters (reparametrise), or use the log-probability of the drawn action.",
)
_COUNT = (
    "it counts, and a count does not change when a value changes a little",
    "Count softly: sum a smooth kernel around each bin's centre, or sum the probabilities.",
)
_MASKED = (
    "which entries it picks is decided by true and false, which carry no gradient",
    "Multiply by the mask (or use tf.where with three arguments) so that the values keep their gradient.",
)
_PYTHON = (
    "TensorFlow cannot look into Python code",
    "Write the function with TensorFlow's own ops. If it only depends on the labels, compute it from the labels in the "
    "data pipeline and multiply it with the prediction. If you know its gradient, give it one.",
)
_COLOUR = (
    "",
    "Apply this augmentation to the data, before the model, or write the colour arithmetic with plain ops.",
)
_STRING = (
    "it works on text",
    "Turn text into numbers in the data pipeline, and start the model from those.",
)

OPS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(COMPARISONS, _THRESHOLD),
    **dict.fromkeys(EQUALITIES, _EQUAL),
    **dict.fromkeys(LOGIC, _LOGIC),
    **dict.fromkeys(ROUNDING, _ROUND),
    **dict.fromkeys(("ArgMax", "ArgMin"), _ARGMAX),
    **dict.fromkeys(("TopKV2", "TopK", "InTopKV2", "InTopK"), _SORTED),
    **dict.fromkeys(
        (
            "Multinomial",
            "StatelessMultinomial",
            "RandomPoissonV2",
            "StatelessRandomBinomial",
            "StatefulRandomBinomial",
            "RandomShuffle",
            "ParameterizedTruncatedNormal",
        ),
        _SAMPLE,
    ),
    **dict.fromkeys(
        (
            "Bincount",
            "DenseBincount",
            "HistogramFixedWidth",
            "Bucketize",
            "Unique",
            "UniqueV2",
            "UniqueWithCounts",
            "UniqueWithCountsV2",
            "UpperBound",
            "LowerBound",
        ),
        _COUNT,
    ),
    **dict.fromkeys(
        (
            "Where",
            "NonMaxSuppression",
            "NonMaxSuppressionV2",
            "NonMaxSuppressionV3",
            "NonMaxSuppressionV4",
            "NonMaxSuppressionV5",
            "CombinedNonMaxSuppression",
        ),
        _MASKED,
    ),
    **dict.fromkeys(("PyFunc", "PyFuncStateless", "EagerPyFunc"), _PYTHON),
    **dict.fromkeys(
        (
            "HSVToRGB",
            "RGBToHSV",
            "AdjustSaturation",
            "AdjustHue",
            "AdjustContrastv2",
            "DrawBoundingBoxes",
            "DrawBoundingBoxesV2",
            "EncodeJpeg",
            "EncodePng",
            "DecodeJpeg",
            "DecodePng",
        ),
        _COLOUR,
    ),
    **dict.fromkeys(("AsString", "StringToNumber", "StringToHashBucketFast", "LookupTableFindV2"), _STRING),
    "Sign": (
        _STEP,
        "Use tanh for a soft sign, or let the gradient pass straight through.",
    ),
    "Bitcast": (
        "it reads the same bits as another type",
        "Convert the value with tf.cast between float types; bits have no gradient.",
    ),
    "Eig": (
        "TensorFlow has no gradient for eigenvectors of a general matrix",
        "For a symmetric matrix use tf.linalg.eigh, which has a gradient.",
    ),
    "Shape": ("a shape does not depend on the values", "Nothing can be learned through a shape or a size."),
    "Size": ("a size does not depend on the values", "Nothing can be learned through a shape or a size."),
    "ZerosLike": ("zeros_like keeps only the shape and the type", "Use the tensor itself."),
    "OnesLike": ("ones_like keeps only the shape and the type", "Use the tensor itself."),
    "PreventGradient": (
        "TensorFlow refuses a second derivative of the op before it",
        "Write the fused op out: log_softmax has derivatives of every order.",
    ),
}

ZERO: dict[str, str] = {
    "Relu": (
        "All of its inputs are negative, so nothing passes. A leaky form keeps a slope there; a smaller learning "
        "rate, He initialisation or a bias above zero keep it from dying."
    ),
    "Relu6": "All of its inputs lie outside 0..6, where it is flat.",
    "Sigmoid": (
        "Its inputs are so large that it is flat in floating point. Give the loss the logits, and scale the input."
    ),
    "Tanh": "Its inputs are so large that it is flat in floating point. Scale or normalise what goes in.",
    "Softmax": (
        "One class has all of the probability, in floating point, or there is only one class. Give the loss the "
        "logits; for one class use a sigmoid (activation='sigmoid')."
    ),
    "Maximum": (
        "All values lie where the other side is taken. Do not clip what the loss is to learn from; clip inside the "
        "logarithm only."
    ),
    "Minimum": "All values lie where the other side is taken. Do not clip what the loss is to learn from.",
    "ClipByValue": ("All values lie outside the range, where it is flat. Do not clip what the loss is to learn from."),
    "Mul": (
        "It is multiplied by zero: a mask, a weight or a factor that is 0 for the whole batch. Look at the mask; "
        "leave such batches out, or give the term a weight above zero."
    ),
    "SelectV2": "The condition chooses the other side everywhere.",
    "MatMul": (
        "What it is multiplied with is zero everywhere: an input of zeros, or a layer after it that starts at zero. "
        "Start weights at random: keras.layers.Dense(units, kernel_initializer='glorot_uniform')."
    ),
    "BatchMatMulV2": "What it is multiplied with is zero everywhere.",
    "Conv2D": "What it is convolved with is zero everywhere: an empty image, or a kernel that starts at zero.",
    "Abs": "Its slope at exactly zero is zero, and all of its inputs are zero there.",
    "Square": "Its slope at exactly zero is zero, and all of its inputs are zero there.",
    "DivNoNan": "The denominator is zero, and divide_no_nan answers zero with a gradient of zero.",
    "Exp": "It underflows to zero. Work with logarithms, and scale its input.",
    "Sub": (
        "The two sides cancel out: one of them should be an earlier value, another view or a stored number "
        "(tf.stop_gradient keeps a value without its slope)."
    ),
    "StridedSlice": (
        "The slice leaves nothing of its input, or nothing that the loss uses. Compare its range with the shape: a "
        "mask of one channel has no `[..., 1:]`."
    ),
}

NAN: dict[str, str] = {
    "RealDiv": (
        "The denominator is zero. Put a small number into it (and, for an overlap of two empty masks, the same one "
        "into the numerator), or divide safely. tf.where does not help after the division: the branch not chosen "
        "still sends its NaN back, so choose a safe denominator before it."
    ),
    "Log": (
        "The logarithm of zero is -inf, of less than zero NaN. Work with logits, or keep its argument away from zero."
    ),
    "Log1p": "The logarithm of zero is -inf, of less than zero NaN.",
    "Sqrt": (
        "The slope of a square root at zero is infinite, and infinity times zero is NaN. Keep its argument away from "
        "zero, or use the squared distance."
    ),
    "Rsqrt": "At zero it is infinite.",
    "Pow": "A power below 1 of zero has an infinite slope; a fractional power of a negative number is NaN.",
    "Exp": (
        "It overflows: exp(89) is infinite in float32, exp(12) in float16. Subtract the largest value first, or work "
        "with logarithms."
    ),
    "Reciprocal": "The denominator is zero.",
    "Inv": "The denominator is zero.",
    "Acos": "The slope of acos at -1 and 1 is infinite.",
    "Asin": "The slope of asin at -1 and 1 is infinite.",
    "Atan2": "At (0, 0) the angle has no slope.",
    "Xlogy": "It has an infinite slope at zero.",
    "Cast": "The value does not fit the type. Compute the loss in float32 (float16 ends at 65504).",
    "Sum": "The sum overflows. Compute the loss in float32 (float16 ends at 65504), or take the mean.",
    "Mean": (
        "The mean of nothing is NaN (0 / 0): its input is empty. Check that the mask or the batch keeps something."
    ),
    "Mul": "Infinity times zero is NaN, or the product overflows. Find which factor is not finite.",
    "SelfAdjointEigV2": "Equal eigenvalues have no unique eigenvectors.",
    "Svd": "Equal singular values have no unique vectors.",
    "MatrixInverse": "The matrix is singular.",
    "Cholesky": "The matrix is not positive definite.",
}
