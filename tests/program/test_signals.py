"""Signals are remembered; a second Ctrl-C is not waited for."""

import os
import signal
import subprocess
import sys

import pytest

from trainer.signals import Interruption

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_is_remembered_and_said(name, capfd):
    before = signal.getsignal(signal.Signals[name])
    with Interruption() as interrupted:
        assert not interrupted
        os.kill(os.getpid(), signal.Signals[name])
        assert interrupted and interrupted.signal_name == name
        # Again from a scheduler: once is enough.
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupted.signal_name == name
    assert signal.getsignal(signal.Signals[name]) is before
    assert capfd.readouterr().out.count(f"{name}: finishing the step and saving") == 1


def test_what_was_ignored_from_the_start_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupted
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_ctrl_c_ends_the_process_in_the_middle_of_a_call_that_does_not_come_back():
    # A call outside of Python that does not end, as one on the device: a lock taken twice. Handlers of Python's own
    # would wait for its end.
    code = (
        "import ctypes, os, signal, threading, time\nfrom trainer.signals import Interruption\n"
        "def twice():\n    for _ in range(2):\n        time.sleep(0.2)\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "with Interruption():\n    threading.Thread(target=twice).start()\n"
        "    lock, take = ctypes.create_string_buffer(128), ctypes.CDLL(None).pthread_mutex_lock\n"
        "    take(lock)\n    take(lock)\nprint('not reached')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert ended.returncode == 130 and ended.stderr == ""
    assert "SIGINT: finishing" in ended.stdout and "Stopped at once" in ended.stdout
    assert "not reached" not in ended.stdout


def test_a_signal_when_the_terminal_is_gone_raises_nothing():
    code = (
        "import os, signal\nfrom trainer.signals import Interruption\nos.close(1)\n"
        "with Interruption() as asked:\n    os.kill(os.getpid(), signal.SIGHUP)\n    os._exit(7 if asked else 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 7
