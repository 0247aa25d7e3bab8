"""A process of the program under test: started, watched by what it prints and writes, and ended by a signal.

Importing TensorFlow takes longer than what is to be broken off, so most lives are forked from a server that has
imported it and has computed nothing; a fresh one is `python main.py` as a user types it. Both run `main.main` with the
same flags.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from trainer.checkpoints import folder as checkpoint

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Life:
    """One process from its start to its end, with what it has said so far.

    Args:
      words: a command that begins with the Python interpreter; flags of main.py where it is forked.
      workdir: of the run.
      log: a file for what it prints.
      evaluate_every: distance of the evaluations, in steps.
      forked: not a new interpreter but a fork of the server; see above.
    """

    def __init__(self, words: list[str], workdir: str, log: str, *, evaluate_every: int, forked: bool):
        self.workdir, self._evaluate_every = workdir, evaluate_every
        with open(log, "w", encoding="utf-8"):
            pass
        self._log = open(log, encoding="utf-8", errors="replace")
        self._lines: list[str] = []
        if forked:
            self._process = _server().Process(target=_run_main, args=(words, log))
            self._process.start()
            self._wait, self._code = self._process.join, lambda: self._process.exitcode
        else:
            with open(log, "w", encoding="utf-8") as file:
                self._process = subprocess.Popen(
                    words, cwd=ROOT, env=_environment(), stdout=file, stderr=subprocess.STDOUT
                )
            self._wait, self._code = self._process.wait, self._process.poll
        self.pid = self._process.pid

    def lines(self) -> list[str]:
        """What it has printed so far; a line that is not finished yet may come in two pieces."""
        self._lines += self._log.read().splitlines()
        return self._lines

    def output(self) -> str:
        return "\n".join(self.lines())

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; a process that has ended by itself meanwhile gets none."""
        if self.running():
            os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code; negative where a signal ended it."""
        self._wait()
        return self._code()

    def running(self) -> bool:
        return self._code() is None

    def wait_for(self, reached: Callable[[], bool], patience: float = 600.0) -> bool:
        """Whether `reached()` came true before the process, or the patience in seconds, ended."""
        end = time.monotonic() + patience
        while time.monotonic() < end and self.running():
            if reached():
                return True
            time.sleep(0.001)
        return False

    def said(self, word: str) -> int:
        """The number of lines that begin with the word: "step" for reports, "eval" for evaluations."""
        return sum(line.lstrip("[01] ").startswith(word) for line in self.lines())

    def trains(self) -> bool:
        """The first report or evaluation of this life is out: a step has been done."""
        return self.said("step") + self.said("eval") > 0

    def evaluates(self) -> bool:
        """The report of a step that is evaluated is the last that was said."""
        last = next((line for line in reversed(self.lines()) if "loss" in line), "")
        words = last.replace("/", " ").split()
        return words[:1] == ["step"] and (int(words[1]) % self._evaluate_every == 0 or words[1] == words[2])

    def saves(self) -> bool:
        """A checkpoint is half written."""
        try:
            return any(".partial-" in name for name in os.listdir(checkpoint.folder_of(self.workdir)))
        except OSError:
            return False

    def children(self) -> list[int]:
        """Its child processes, in the order in which they were started."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="utf-8") as file:
            return [int(word) for word in file.read().split()]


def _environment() -> dict[str, str]:
    paths = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(paths)}


def _server() -> multiprocessing.context.BaseContext:
    """Starts the server with the first life that is forked from it."""
    os.environ.update(_environment(), KERAS_BACKEND="tensorflow")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["main", "trainer.run", "trainer.prediction.paths"])
    return context


def _run_main(words: list[str], log: str) -> None:
    """What a forked life does."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    os.chdir(ROOT)
    sys.stdout.reconfigure(line_buffering=True)
    import main

    sys.exit(main.main(["main.py", *words[2:]]))
