"""An IoU loss of boxes that do not overlap: the intersection is clipped at zero."""

import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Maximum",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["score"],
    "zero_variables": ["box"],
    "accept_markers": ["ALSO"],
    "accept_ops": ["Mul", "Minimum"],
}


def build():
    box = tf.Variable([0.0, 0.0, 1.0, 1.0], name="box")
    score = tf.Variable(0.3, name="score")
    truth = tf.constant([5.0, 5.0, 6.0, 6.0])

    def forward_loss():
        low, high = tf.maximum(box[:2], truth[:2]), tf.minimum(box[2:], truth[2:])
        sides = tf.maximum(high - low, 0.0)  # HERE
        inter = sides[0] * sides[1]  # ALSO
        return 1.0 - inter / (2.0 - inter) + tf.square(score - 1.0)

    return forward_loss, [box, score]
