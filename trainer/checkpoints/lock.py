"""One run a workdir: the second is refused, with the name of the process that has it."""

from __future__ import annotations

import fcntl
import os
import socket

from trainer.errors import EXIT_FAILED, UserError

# Locks of loops of the user's, by workdir. Nobody says when such a loop is over, so that the next run of this process
# (a notebook's cell that is run again) takes its lock over.
_OF_LOOPS: dict[str, WorkdirLock] = {}


def take(workdir: str, *, loop: bool = False) -> WorkdirLock:
    """The lock of `workdir`, also where a loop of this process had it, which has lost it then.

    Args:
      workdir: of the run.
      loop: it is taken for a loop of the user's, which may lose it so.

    Raises:
      UserError: as `WorkdirLock`.
    """
    key = os.path.realpath(workdir)
    if earlier := _OF_LOOPS.pop(key, None):
        earlier.release()
    lock = WorkdirLock(workdir)
    if loop:
        _OF_LOOPS[key] = lock
    return lock


class InUse(UserError):
    """Another process has the workdir."""


class WorkdirLock:
    """Holds `workdir/.lock` until released or the process ends, however it ends: the kernel lets go of it.

    Raises:
      InUse: another process holds it (exit code 1).
      UserError: the workdir cannot be written.
    """

    def __init__(self, workdir: str):
        try:
            os.makedirs(workdir, exist_ok=True)
            self._file = open(os.path.join(workdir, ".lock"), "a+b", buffering=0)
        except OSError as error:
            raise UserError(
                f"The workdir {workdir!r} cannot be written: {error.strerror}.\n  Choose another: --workdir=…"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            owner = self._file.read(200).decode(errors="replace").strip() or "another process"
            self._file.close()
            raise InUse(
                f"The workdir {workdir!r} is in use by {owner}.\n  Wait for it, stop it, or start this run elsewhere: "
                "--workdir=…",
                exit_code=EXIT_FAILED,
            ) from error
        except OSError as error:
            self._file.close()
            raise UserError(
                f"The file system of the workdir {workdir!r} knows no locks ({error.strerror}), so a second run in it "
                "could not be refused.\n  Choose a workdir elsewhere: --workdir=…"
            ) from error
        try:
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError:
            pass  # A full disk holds the lock as well; the next one then reads "another process".

    @property
    def released(self) -> bool:
        return self._file.closed

    def release(self) -> None:
        self._file.close()
