"""Starts several workers on one machine: `python -m trainer.launch --workers=2 -- python main.py …`.

Each gets a TF_CONFIG with a free port on the loopback interface. Their output is shown with a prefix. When one ends
badly all are ended, and they start again together, from the last checkpoint, up to `--restarts` times. A scheduler
(Kubernetes, Slurm) does the same for workers on several machines; see docs/cluster.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from trainer.errors import EXIT_OK, EXIT_RESUMABLE, EXIT_USAGE

# After one worker has failed the others get this long to end by themselves, then SIGTERM, then SIGKILL.
_GRACE_SECONDS = 10.0


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
    if options.workers < 1:
        problems.append(f"--workers={options.workers}: it takes at least one")
    if options.restarts < 0:
        problems.append(f"--restarts={options.restarts}: it is a number of times, 0 or more")
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return EXIT_USAGE
    return launch(command, options.workers, options.restarts)


def launch(command: Sequence[str], workers: int, restarts: int) -> int:
    """Runs the workers until all end well, one cannot be mended, or the restarts are used up; returns the exit code."""
    with _Stop() as stop:
        for attempt in range(restarts + 1):
            codes = _run_once(command, workers, stop)
            bad = {i: code for i, code in enumerate(codes) if code != EXIT_OK}
            if not bad:
                return EXIT_OK
            first = next(iter(bad.values()))
            if stop.asked or set(bad.values()) == {EXIT_RESUMABLE}:
                return EXIT_RESUMABLE
            if EXIT_USAGE in bad.values():
                # A wrong flag or config is as wrong the second time.
                return EXIT_USAGE
            named = ", ".join(f"worker {i} ended with {_in_words(code)}" for i, code in bad.items())
            if attempt < restarts:
                _say(f"{named}; starting all again, {attempt + 1} of {restarts}")
            else:
                _say(f"{named}; no restarts are left")
        return first if first > 0 else 128 - first


class _Stop:
    """Hands SIGTERM and SIGINT on to the workers, so that they save."""

    def __init__(self):
        self.asked, self.processes, self._before = False, [], {}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number, frame):
        self.asked = True
        _signal_all(self.processes, number)


def _run_once(command: Sequence[str], workers: int, stop: _Stop) -> list[int]:
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(workers)]
    processes, readers = stop.processes, []
    processes.clear()
    for index in range(workers):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1"}
        # A session of its own: Ctrl-C on the terminal reaches the launcher alone, which hands it on once.
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        readers.append(threading.Thread(target=_show, args=(process, index), daemon=True))
        readers[-1].start()
    if stop.asked:
        _signal_all(processes, signal.SIGTERM)
    failed_at = None
    while any(process.poll() is None for process in processes):
        now = time.monotonic()
        if failed_at is None and any(process.poll() not in (None, EXIT_OK) for process in processes):
            failed_at = now
        if failed_at is not None and not stop.asked and now > failed_at + _GRACE_SECONDS:
            # A worker that waits for a dead one inside a collective operation hears nothing but SIGKILL.
            late = now > failed_at + 2 * _GRACE_SECONDS
            _signal_all(processes, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.1)
    for reader in readers:
        reader.join(timeout=5.0)
    return [process.returncode for process in processes]


def _show(process: subprocess.Popen, index: int) -> None:
    for line in process.stdout:
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
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _in_words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _say(text: str) -> None:
    print(f"[launch] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
