"""Starts several workers on one machine: `python -m trainer.launch --workers=2 -- python main.py …`.

Each gets a TF_CONFIG with a free port and talks to the others over the loopback interface; TensorFlow's servers
listen on all interfaces, whatever the address says, and know no password, which is said. Their output is shown with a
prefix. When one ends badly all are ended, and they start again together, from the last checkpoint, up to `--restarts`
times. A scheduler (Kubernetes, Slurm) does the same for workers on several machines; see docs/cluster.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from trainer.errors import EXIT_FAILED, EXIT_OK, EXIT_RESUMABLE, EXIT_USAGE

# After one worker has ended badly the others get this long to say whom they lost and to end by themselves, then
# SIGTERM, and as long again until SIGKILL.
_GRACE_SECONDS = 30.0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trainer.launch", description=__doc__.split("\n\n")[0])
    parser.add_argument("--workers", type=int, default=2, help="processes to start on this machine (default 2)")
    parser.add_argument(
        "--restarts", type=int, default=3, help="times all are started again after a failure (default 3)"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and then the command of one worker")
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    problems = []
    if not command:
        problems.append(
            "the command is missing: python -m trainer.launch --workers=2 -- python main.py --workdir=runs/a"
        )
    elif shutil.which(command[0]) is None:
        problems.append(f"there is no program {command[0]!r}: write the whole command of one worker after --")
    if options.workers < 1:
        problems.append(f"--workers={options.workers}: it takes at least one")
    if options.restarts < 0:
        problems.append(f"--restarts={options.restarts}: it is a number of times, 0 or more")
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return EXIT_USAGE
    if options.workers > 1:
        _say("TensorFlow's servers listen on all network interfaces and ask for no password (docs/cluster.md)")
    return launch(command, options.workers, options.restarts)


def launch(command: Sequence[str], workers: int, restarts: int) -> int:
    """Runs the workers until all end well, one cannot be mended, or the restarts are used up; returns the exit code."""
    with _Stop() as stop:
        for attempt in range(restarts + 1):
            ended = _run_once(command, workers, stop)
            bad = [(i, code) for i, code in ended if code != EXIT_OK]
            if not bad:
                return EXIT_OK
            codes = {code for _, code in bad}
            if stop.asked or codes == {EXIT_RESUMABLE}:
                return EXIT_RESUMABLE
            if EXIT_USAGE in codes:
                # A wrong flag or config is as wrong the second time.
                return EXIT_USAGE
            if any(stop.lacks_module):
                _say("a module is missing, and would be again: not started again. Which Python is the command's?")
                return EXIT_FAILED
            named = ", then ".join(f"worker {i} ended with {_in_words(code)}" for i, code in bad)
            if attempt < restarts:
                _say(f"{named}; starting all again, {attempt + 1} of {restarts}")
            else:
                _say(f"{named}; no restarts are left")
        # The first to end is the cause: the others end because of it.
        code = bad[0][1]
        return code if code > 0 else 128 - code


class _Stop:
    """Hands SIGTERM and SIGINT on to the workers, so that they save; the second time it ends them."""

    def __init__(self):
        self.asked, self.processes, self._before = False, [], {}
        # Of each worker: whether Python's own last words were that a module cannot be imported.
        self.lacks_module: list[bool] = []

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number, frame):
        _signal_all(self.processes, signal.SIGKILL if self.asked else number)
        self.asked = True


def _run_once(command: Sequence[str], workers: int, stop: _Stop) -> list[tuple[int, int]]:
    """Starts all workers and waits for them; returns (worker, exit code) in the order in which they ended."""
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(workers)]
    processes, readers = stop.processes, []
    processes.clear()
    stop.lacks_module[:] = [False] * workers
    for index in range(workers):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1"}
        # A session of its own: Ctrl-C on the terminal reaches the launcher alone, which hands it on once.
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        processes.append(process)
        readers.append(threading.Thread(target=_show, args=(process, index, stop.lacks_module), daemon=True))
        readers[-1].start()
    if stop.asked:
        _signal_all(processes, signal.SIGTERM)
    ended = _wait_for_all(processes, stop)
    for reader in readers:
        reader.join(timeout=5.0)
    return ended


def _wait_for_all(processes: Sequence[subprocess.Popen], stop: _Stop) -> list[tuple[int, int]]:
    """Waits; once one has ended badly the others get some time, then SIGTERM, then SIGKILL."""
    ended: list[tuple[int, int]] = []
    # A worker that waits for a dead one inside a collective operation hears nothing but SIGKILL.
    left, deadline = [signal.SIGTERM, signal.SIGKILL], None
    while len(ended) < len(processes):
        seen = {index for index, _ in ended}
        new = [(i, p.returncode) for i, p in enumerate(processes) if i not in seen and p.poll() is not None]
        # Of several since the last look one that was killed is the cause: the others end with an exit code for it.
        ended += sorted(new, key=lambda worker: worker[1] >= 0)
        now = time.monotonic()
        if deadline is None and any(code != EXIT_OK for _, code in ended):
            deadline = now + _GRACE_SECONDS
        if left and deadline is not None and now > deadline and len(ended) < len(processes):
            if left[0] == signal.SIGKILL or not stop.asked:
                _signal_all(processes, left[0])
            del left[0]
            deadline = now + _GRACE_SECONDS
        time.sleep(0.1)
    return ended


def _show(process: subprocess.Popen, index: int, lacks_module: list[bool]) -> None:
    for line in process.stdout:
        # The last line of a traceback; one that was caught and printed is followed by others.
        lacks_module[index] = line.startswith(("ModuleNotFoundError: ", "ImportError: "))
        sys.stdout.write(f"[{index}] {line}")
        sys.stdout.flush()


def _signal_all(processes, number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, held together while they are chosen so that none is given twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


def _in_words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _say(text: str) -> None:
    print(f"[launch] {text}", flush=True)
