"""One run a workdir: the second is refused, with the name of the process that has it."""

from __future__ import annotations

import fcntl
import os
import socket

from trainer.errors import EXIT_FAILED, UserError

# Locks held by the user's own loops, by workdir. Such a loop never says that it is over, so the next run of this
# process (a notebook's cell run again) takes its lock over.
_OF_LOOPS: dict[str, WorkdirLock] = {}


def take(workdir: str, *, loop: bool = False) -> WorkdirLock:
    """Takes the lock of `workdir`, from a loop of this process where that holds it.

    Args:
      workdir: of the run.
      loop: whether it is for a loop of the user's, which a later run may take it from.

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
    """Another process holds the workdir."""


class WorkdirLock:
    """Holds `workdir/.lock` until it is released or the process ends, in whatever way: the kernel releases it then.

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
            pass  # On a full disk the lock holds as well; its file then names no process.

    @property
    def released(self) -> bool:
        return self._file.closed

    def release(self) -> None:
        self._file.close()
