"""Advice for ops: why one carries no gradient, and what to write in its place. Words only: the verdict is TensorFlow's.

Each entry is (why, words, code). In the code `{x}` stands for what the user's own expression works on, `{y}` for its
second operand, `{difference}` for {x} - {y} and `{expr}` for the expression itself. A code line that begins with `=` is
the user's statement with that expression replaced.
"""

from __future__ import annotations

COMPARISONS = ("Greater", "GreaterEqual", "Less", "LessEqual")
EQUALITIES = ("Equal", "NotEqual", "ApproximateEqual")
LOGIC = ("LogicalAnd", "LogicalOr", "LogicalNot", "All", "Any")
ROUNDING = ("Round", "Rint", "Floor", "Ceil", "FloorDiv", "TruncateDiv")

_INDEX = "an index does not change when the scores change a little"
_STEP = "its output is constant between jumps"
_STRAIGHT = [
    "# or, to keep the hard value going forward and let the gradient pass (straight-through):",
    "={x} + tf.stop_gradient({expr} - {x})",
]

_ARGMAX = (
    _INDEX,
    "Use the probabilities themselves: a softmax is the soft argmax. Keep argmax for the metric.",
    [
        "=tf.nn.softmax({x}, axis=-1)",
        "# an expected index, if the loss needs one:",
        "index = tf.reduce_sum(tf.nn.softmax(scores) * tf.range(classes, dtype=tf.float32), axis=-1)",
    ],
)
_THRESHOLD = (
    "its answer is only true or false",
    "Use the probability itself in the loss; keep the threshold for the metric.",
    [
        "={x}  # if it is a probability; of logits: tf.sigmoid({x})",
        "# or, where the loss needs a step, a soft one:",
        "=tf.sigmoid({difference} / 0.1)",
    ],
)
_EQUAL = (
    "its answer is only true or false",
    "An accuracy is a metric, not a loss. Compare the probabilities with the labels by a cross-entropy.",
    ["loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)"],
)
_LOGIC = (
    "it works on true and false",
    "Soft forms of the logic keep the gradient: a product for and, a + b - a * b for or, 1 - a for not.",
    [
        "both = p * q                # logical_and",
        "either = p + q - p * q      # logical_or",
        "neither = 1.0 - p           # logical_not",
    ],
)
_ROUND = (
    _STEP,
    "Leave the rounding to the metric, or let the gradient pass as if nothing had been rounded.",
    ["={x}", *_STRAIGHT],
)
_SORTED = (
    _INDEX,
    "The values of top_k and sort carry a gradient, their indices do not. Gather with the indices, or weight "
    "by a softmax of the scores.",
    [
        "values, indices = tf.math.top_k(scores, k)",
        "loss = f(values)  # or: f(tf.gather(other, indices, batch_dims=1)), which differentiates `other`",
    ],
)
_SAMPLE = (
    "a random draw is not a function of its probabilities",
    "Draw the noise apart from the parameters (reparametrise), or use the log-probability of the drawn action.",
    [
        "sample = mean + tf.exp(0.5 * log_var) * tf.random.normal(tf.shape(mean))   # a Gaussian",
        "soft = tf.nn.softmax((logits + gumbel_noise) / temperature)                # a category (Gumbel-softmax)",
        "loss = -tf.reduce_mean(reward * log_prob_of_the_action)                    # REINFORCE",
    ],
)
_COUNT = (
    "it counts, and a count does not change when a value changes a little",
    "Count softly: sum a smooth kernel around each bin's centre, or sum the probabilities.",
    ["soft_counts = tf.reduce_sum(tf.nn.softmax(-tf.square(x[:, None] - centres) / width), axis=0)"],
)
_MASKED = (
    "which entries it picks is decided by true and false, which carry no gradient",
    "Multiply by the mask (or use tf.where with three arguments) so that the values keep their gradient.",
    ["masked = values * tf.cast(mask, values.dtype)", "chosen = tf.where(mask, values, 0.0)"],
)
_PYTHON = (
    "TensorFlow cannot look into Python code",
    "Write the function with TensorFlow's own ops. If it only depends on the labels, compute it from the labels in the "
    "data pipeline and multiply it with the prediction. If you know its gradient, give it one.",
    [
        "@tf.custom_gradient",
        "def measure(x):",
        "    return tf.numpy_function(forward, [x], tf.float32), lambda upstream: upstream * derivative(x)",
    ],
)
_COLOUR = (
    "",
    "Apply this augmentation to the data, before the model, or write the colour arithmetic with plain ops.",
    ["dataset = dataset.map(lambda image, label: (augment(image), label))   # no variable comes before it"],
)
_STRING = (
    "it works on text",
    "Turn text into numbers in the data pipeline, and start the model from those.",
    ["ids = vectorize(text)             # in dataset.map", "x = keras.layers.Embedding(size, units)(ids)"],
)

OPS: dict[str, tuple[str, str, list[str]]] = {
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
        ["=tf.tanh(5.0 * {x})", *_STRAIGHT],
    ),
    "Bitcast": (
        "it reads the same bits as another type",
        "Convert the value with tf.cast between float types; bits have no gradient.",
        ["=tf.cast({x}, tf.float32)"],
    ),
    "Eig": (
        "TensorFlow has no gradient for eigenvectors of a general matrix",
        "For a symmetric matrix use tf.linalg.eigh, which has a gradient.",
        ["values, vectors = tf.linalg.eigh(matrix)"],
    ),
    "Shape": ("a shape does not depend on the values", "Nothing can be learned through a shape or a size.", []),
    "Size": ("a size does not depend on the values", "Nothing can be learned through a shape or a size.", []),
    "ZerosLike": ("zeros_like keeps only the shape and the type", "Use the tensor itself.", ["={x}"]),
    "OnesLike": ("ones_like keeps only the shape and the type", "Use the tensor itself.", ["={x}"]),
    "PreventGradient": (
        "TensorFlow refuses a second derivative of the op before it",
        "Write the fused op out: log_softmax has derivatives of every order.",
        ["loss = -tf.reduce_sum(labels * tf.nn.log_softmax(logits), axis=-1)"],
    ),
}

ZERO: dict[str, tuple[str, list[str]]] = {
    "Relu": (
        "All of its inputs are negative, so nothing passes. A leaky form keeps a slope there; a smaller learning rate, "
        "He initialisation or a bias above zero keep it from dying.",
        ["=tf.nn.leaky_relu({x}, alpha=0.1)"],
    ),
    "Relu6": ("All of its inputs lie outside 0..6, where it is flat.", ["=tf.nn.leaky_relu({x}, alpha=0.1)"]),
    "Sigmoid": (
        "Its inputs are so large that it is flat in floating point. Give the loss the logits, and scale the input.",
        ["loss = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)"],
    ),
    "Tanh": (
        "Its inputs are so large that it is flat in floating point. Scale or normalise what goes in.",
        ["=tf.tanh(keras.layers.LayerNormalization()({x}))"],
    ),
    "Softmax": (
        "One class has all of the probability, in floating point, or there is only one class. Give the loss the "
        "logits; for one class use a sigmoid.",
        [
            "loss = keras.losses.CategoricalCrossentropy(from_logits=True)(labels, logits)",
            "keras.layers.Dense(1, activation='sigmoid')   # one output: a softmax over one class is always 1",
        ],
    ),
    "Maximum": (
        "All values lie where the other side is taken. Do not clip what the loss is to learn from; clip inside the "
        "logarithm only.",
        ["={x}", "loss = -tf.reduce_mean(tf.math.log(tf.maximum(p, 1e-7)))"],
    ),
    "Minimum": ("All values lie where the other side is taken. Do not clip what the loss is to learn from.", ["={x}"]),
    "ClipByValue": (
        "All values lie outside the range, where it is flat. Do not clip what the loss is to learn from.",
        ["={x}"],
    ),
    "Mul": (
        "It is multiplied by zero: a mask, a weight or a factor that is 0 for the whole batch. Look at the mask; leave "
        "such batches out, or give the term a weight above zero.",
        [],
    ),
    "SelectV2": ("The condition chooses the other side everywhere.", []),
    "MatMul": (
        "What it is multiplied with is zero everywhere: an input of zeros, or a layer after it that starts at zero. "
        "Start weights at random: keras.layers.Dense(units, kernel_initializer='glorot_uniform').",
        [],
    ),
    "BatchMatMulV2": ("What it is multiplied with is zero everywhere.", []),
    "Conv2D": ("What it is convolved with is zero everywhere: an empty image, or a kernel that starts at zero.", []),
    "Abs": ("Its slope at exactly zero is zero, and all of its inputs are zero there.", []),
    "Square": ("Its slope at exactly zero is zero, and all of its inputs are zero there.", []),
    "DivNoNan": ("The denominator is zero, and divide_no_nan answers zero with a gradient of zero.", []),
    "Exp": (
        "It underflows to zero. Work with logarithms, and scale its input.",
        ["loss = tf.reduce_logsumexp({x}, axis=-1)"],
    ),
    "Sub": ("The two sides cancel out.", []),
}

NAN: dict[str, tuple[str, list[str]]] = {
    "RealDiv": (
        "The denominator is zero. Put a small number into it (and, for an overlap of two empty masks, the same one "
        "into the numerator), or divide safely. tf.where does not help after the division: the branch not chosen "
        "still sends its NaN back, so choose a safe denominator before it.",
        [
            "=tf.math.divide_no_nan({x}, {y})",
            "safe = tf.where(denominator > 0, denominator, 1.0)   # first a denominator that is never 0,",
            "ratio = tf.where(denominator > 0, numerator / safe, 0.0)   # then the choice",
        ],
    ),
    "Log": (
        "The logarithm of zero is -inf, of less than zero NaN. Work with logits, or keep its argument away from zero.",
        ["=tf.math.log(tf.maximum({x}, 1e-7))", "loss = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)"],
    ),
    "Log1p": (
        "The logarithm of zero is -inf, of less than zero NaN.",
        ["=tf.math.log1p(tf.maximum({x}, -1.0 + 1e-6))"],
    ),
    "Sqrt": (
        "The slope of a square root at zero is infinite, and infinity times zero is NaN. Keep its argument away from "
        "zero, or use the squared distance.",
        ["=tf.sqrt(tf.maximum({x}, 1e-12))"],
    ),
    "Rsqrt": ("At zero it is infinite.", ["=tf.math.rsqrt(tf.maximum({x}, 1e-12))"]),
    "Pow": (
        "A power below 1 of zero has an infinite slope; a fractional power of a negative number is NaN.",
        ["=tf.pow(tf.maximum({x}, 1e-7), {y})"],
    ),
    "Exp": (
        "It overflows: exp(89) is infinite in float32, exp(12) in float16. Subtract the largest value first, or work "
        "with logarithms.",
        ["=tf.exp(tf.minimum({x}, 20.0))", "loss = tf.reduce_logsumexp(logits, axis=-1)"],
    ),
    "Reciprocal": ("The denominator is zero.", ["=tf.math.reciprocal_no_nan({x})"]),
    "Inv": ("The denominator is zero.", ["=tf.math.reciprocal_no_nan({x})"]),
    "Acos": (
        "The slope of acos at -1 and 1 is infinite.",
        ["=tf.acos(tf.clip_by_value({x}, -1.0 + 1e-6, 1.0 - 1e-6))"],
    ),
    "Asin": (
        "The slope of asin at -1 and 1 is infinite.",
        ["=tf.asin(tf.clip_by_value({x}, -1.0 + 1e-6, 1.0 - 1e-6))"],
    ),
    "Atan2": ("At (0, 0) the angle has no slope.", ["=tf.atan2({x}, {y} + 1e-7)"]),
    "Xlogy": ("It has an infinite slope at zero.", []),
    "Cast": (
        "The value does not fit the type: float16 ends at 65504. Compute the loss in float32.",
        ["=tf.cast({x}, tf.float32)"],
    ),
    "Sum": (
        "The sum overflows: float16 ends at 65504. Compute the loss in float32, or take the mean.",
        ["=tf.reduce_mean({x})", "y_pred = tf.cast(y_pred, tf.float32)   # the first line of the loss"],
    ),
    "Mean": (
        "The mean of nothing is NaN (0 / 0): its input is empty. Check that the mask or the batch keeps something.",
        ["=tf.math.divide_no_nan(tf.reduce_sum({x}), tf.cast(tf.size({x}), tf.float32))"],
    ),
    "Mul": ("Infinity times zero is NaN, or the product overflows. Find which factor is not finite.", []),
    "SelfAdjointEigV2": (
        "Equal eigenvalues have no unique eigenvectors.",
        ["matrix = matrix + tf.linalg.diag(small_noise)"],
    ),
    "Svd": ("Equal singular values have no unique vectors.", ["matrix = matrix + small_noise"]),
    "MatrixInverse": ("The matrix is singular.", ["inverse = tf.linalg.inv(matrix + 1e-6 * tf.eye(n))"]),
    "Cholesky": ("The matrix is not positive definite.", ["factor = tf.linalg.cholesky(matrix + 1e-6 * tf.eye(n))"]),
}
