"""One run a workdir."""

import os
import subprocess
import sys

import pytest

from trainer.checkpoints.lock import WorkdirLock
from trainer.errors import UserError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOLDER = (
    "import sys, time\nfrom trainer.checkpoints.lock import WorkdirLock\nlock = WorkdirLock(sys.argv[1])\n"
    "print('held', flush=True)\ntime.sleep(60)"
)


def test_the_second_is_told_who_has_it_and_goes_on_after_a_kill(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"in use by process {holder.pid} on .*\n.*--workdir=") as caught:
            WorkdirLock(str(tmp_path))
        assert caught.value.exit_code == 1
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    WorkdirLock(str(tmp_path)).release()


def test_released_is_free_and_made_where_missing(tmp_path):
    for _ in range(2):
        WorkdirLock(str(tmp_path / "new" / "run")).release()


def test_a_workdir_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"file/run' cannot be written: Not a directory") as caught:
        WorkdirLock(str(tmp_path / "file" / "run"))
    assert caught.value.exit_code == 2
