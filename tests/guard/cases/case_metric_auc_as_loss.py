"""keras.metrics.AUC is updated with the prediction and its result minimised."""

import keras
import numpy as np

EXPECT = {
    "cause": "stateful_assign",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["non_differentiable_op", "integer_cast"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(420)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, "sigmoid", name="out")])
    auc = keras.metrics.AUC(num_thresholds=10)
    x, y = r.rand(8, 4).astype("float32"), np.float32([[0], [1]] * 4)

    def forward_loss():
        auc.reset_state()
        auc.update_state(y, model(x))  # HERE
        return 1.0 - auc.result()  # ALSO

    return forward_loss, model.trainable_variables
