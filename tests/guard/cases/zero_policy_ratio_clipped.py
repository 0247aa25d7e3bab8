"""PPO: the ratio is clipped for every sample, and the clipped term is the smaller one."""

import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
    "accept_markers": ["ALSO"],
}


def build():
    logits = tf.Variable([[9.0, 0.0, 0.0]], name="logits")
    old = tf.constant([[-3.0]])
    advantage = tf.constant([[1.0]])

    def forward_loss():
        log_prob = tf.nn.log_softmax(logits)[:, :1]
        ratio = tf.exp(log_prob - old)
        clipped = tf.clip_by_value(ratio, 0.8, 1.2)  # HERE
        return -tf.reduce_mean(tf.minimum(ratio * advantage, clipped * advantage))  # ALSO

    return forward_loss, [logits]
