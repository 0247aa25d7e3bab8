"""One TensorFlow set-up for the whole suite: quiet logs, four logical CPU devices for replica tests."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

from trainer.process import prepare

# The suite runs as main.py does, and in half the time on processors without AVX-512.
prepare()

# Tracing makes objects by the hundred thousand: looked through as rarely as this, they take a twentieth less time.
gc.set_threshold(50_000, 20, 50)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds; still part of the full run")
    config.addinivalue_line("markers", "page: looks at the report.html that a run writes; other runs write none")


def pytest_collection_modifyitems(items):
    """Long files come first: shared out file by file, they would leave one process idle at the end.

    Of them the guard's before all others: it looks through all objects of its process, and a young one has few.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    guard = {item.path for item in items if "guard" in item.path.parts}
    items.sort(key=lambda item: (item.path not in guard, item.path not in slow))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """A run of a few steps spends a third of its time on the diagrams of its page: drawn where a test is about them.

    A hook and not a fixture, which the runs of a module's own fixtures would not see.
    """
    from trainer.actions import page

    write = page.write_report
    if not item.get_closest_marker("page"):
        page.write_report = lambda workdir: None
    try:
        return (yield)
    finally:
        page.write_report = write


@pytest.fixture(scope="session")
def logical_devices():
    """Names of the eight logical CPU devices that every test process has."""
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices("CPU")]


@pytest.fixture(autouse=True)
def _float32_policy():
    """A test that sets a global Keras policy must not leak it."""
    import sys

    yield
    if "keras" in sys.modules:
        sys.modules["keras"].mixed_precision.set_global_policy("float32")


def pytest_sessionstart(session):
    if session.config.getoption("numprocesses", None):
        return  # the process that hands out the tests to others runs none
    import tensorflow as tf

    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 8)
    tf.config.list_logical_devices()  # starts TensorFlow, so that no test that comes first chooses another number


def pytest_collection_finish(session):
    # What is imported stays: set aside it is not looked through at each collection, nor by the guard, of all objects.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)  # after the module's fixtures are gone
def pytest_runtest_teardown(item, nextitem):
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
