"""Which arithmetic is taken on which hardware, what is said of it, and the float16 loss scale."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.stepping.precision import GROWTH_STEPS, INITIAL_SCALE, Hardware, LossScale, choose, decide

CPU, CPU_BFLOAT16 = Hardware(), Hardware(cpu_bfloat16=True)
AMPERE, VOLTA, PASCAL = Hardware(((8, 6),)), Hardware(((7, 0),)), Hardware(((6, 1),))
UNKNOWN, TPU = Hardware((None,)), Hardware(tpu=True)


@pytest.mark.parametrize(
    ("hardware", "policy", "said"),
    [
        (CPU, "float32", "no GPU is here"),
        (CPU_BFLOAT16, "float32", "--precision=mixed_bfloat16"),
        (AMPERE, "mixed_bfloat16", "compute capability 8.6 has it, and it needs no loss scale"),
        (Hardware(((9, 0), (8, 0))), "mixed_bfloat16", "compute capability 8.0"),
        (VOLTA, "mixed_float16", "compute capability 7.0"),
        (Hardware(((8, 0), (7, 5))), "mixed_float16", "compute capability 7.5"),
        (PASCAL, "float32", "compute capability 6.1 has no fast half precision"),
        (UNKNOWN, "float32", "does not say"),
        (TPU, "mixed_bfloat16", "TPU"),
    ],
)
def test_auto_takes_what_the_devices_are_made_for(hardware, policy, said):
    taken = decide("auto", hardware)
    assert taken.policy == policy and said in taken.reason and taken.reason.startswith(policy)
    assert taken.scales_loss == (policy == "mixed_float16")


@pytest.mark.parametrize(
    ("asked", "hardware", "price"),
    [
        ("float32", CPU, ""),
        ("float32", AMPERE, ""),
        ("mixed_float16", CPU, "; a CPU emulates float16: expect about five times the time of float32"),
        ("mixed_bfloat16", CPU, "; this processor has no instructions for bfloat16: expect it to be slower"),
        ("mixed_bfloat16", CPU_BFLOAT16, ""),
        ("mixed_bfloat16", AMPERE, ""),
        ("mixed_bfloat16", VOLTA, "; compute capability 7.0 has no fast units for it: expect no gain"),
        ("mixed_float16", VOLTA, ""),
        ("mixed_float16", PASCAL, "; compute capability 6.1 has no fast units for it: expect no gain"),
        ("mixed_float16", TPU, "; a TPU computes in bfloat16: better --precision=mixed_bfloat16"),
        ("mixed_float16", UNKNOWN, ""),
    ],
)
def test_what_is_asked_for_is_taken_and_its_price_told(asked, hardware, price):
    taken = decide(asked, hardware)
    assert (taken.policy, taken.reason) == (asked, f"{asked}, as asked{price}")


def test_this_machine_can_be_asked():
    assert choose("auto").policy in choose("auto").reason


def test_the_scale_is_halved_at_an_overflow_and_doubled_after_many_good_steps():
    scale = LossScale(enabled=True)
    told = tf.function(scale.update)
    assert scale.scale.numpy() == INITIAL_SCALE
    told(tf.constant(True))
    assert scale.good_steps.numpy() == 1
    told(tf.constant(False))
    assert scale.scale.numpy() == INITIAL_SCALE / 2 and scale.good_steps.numpy() == 0
    scale.good_steps.assign(GROWTH_STEPS - 2)
    told(tf.constant(True))
    assert scale.scale.numpy() == INITIAL_SCALE / 2
    told(tf.constant(True))
    assert scale.scale.numpy() == INITIAL_SCALE and scale.good_steps.numpy() == 0


def test_the_scale_stays_between_1_and_2_to_the_24():
    scale = LossScale(enabled=True)
    scale.scale.assign(1.0)
    scale.update(tf.constant(False))
    assert scale.scale.numpy() == 1.0
    scale.scale.assign(2.0**24)
    scale.good_steps.assign(GROWTH_STEPS - 1)
    scale.update(tf.constant(True))
    assert scale.scale.numpy() == 2.0**24


def test_without_float16_there_is_no_scale_and_nothing_to_save():
    scale = LossScale(enabled=False)
    scale.update(tf.constant(False))
    assert scale.scale.numpy() == 1.0 and scale.variables == []
    assert np.array_equal([v.dtype.as_numpy_dtype for v in LossScale(enabled=True).variables], [np.float32, np.int64])
