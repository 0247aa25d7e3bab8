"""keras.metrics.MeanIoU is called where a loss belongs."""

import keras
import numpy as np

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["stateful_assign", "integer_cast"],
    "accept_ops": ["Cast", "AssignVariableOp", "AssignAddVariableOp"],
}


def build():
    r = np.random.RandomState(404)
    model = keras.Sequential([keras.layers.Input((4, 4, 1)), keras.layers.Conv2D(2, 1, name="classes")])
    x, y = r.rand(2, 4, 4, 1).astype("float32"), r.randint(0, 2, (2, 4, 4)).astype("int32")
    measure = keras.metrics.MeanIoU(2, sparse_y_pred=False)

    def forward_loss():
        return 1.0 - measure(y, model(x, training=True))  # HERE

    return forward_loss, model.trainable_variables
