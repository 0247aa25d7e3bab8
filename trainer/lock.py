"""One run a workdir: the second is told who has it."""

from __future__ import annotations

import fcntl
import os
import socket

from trainer.errors import UserError


class WorkdirLock:
    """Holds `workdir/.lock` until released or the process ends, however it ends: the kernel lets go of it.

    Raises:
      UserError: another process holds it, or the workdir cannot be written.
    """

    def __init__(self, workdir: str):
        try:
            os.makedirs(workdir, exist_ok=True)
            self._file = open(os.path.join(workdir, ".lock"), "a+")
        except OSError as error:
            raise UserError(
                f"The workdir {workdir!r} cannot be written: {error.strerror}.\n  Choose another: --workdir=…"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise UserError(
                f"The workdir {workdir!r} is in use by {owner}.\n  Wait for it, stop it, or start "
                "this run elsewhere: --workdir=…"
            ) from error
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self) -> None:
        self._file.close()
