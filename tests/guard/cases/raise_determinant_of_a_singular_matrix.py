"""The gradient of a determinant inverts the matrix, which is singular: the backward pass raises."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "MatrixDeterminant",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "raises": "InvalidArgumentError",
}


def build():
    matrix = tf.Variable([[1.0, 2.0], [2.0, 4.0]], name="matrix")

    def forward_loss():
        volume = tf.linalg.det(matrix)  # HERE
        return tf.square(volume - 1.0)

    return forward_loss, [matrix]
