"""When another worker ends in the middle: its name, in words, instead of a collective operation's traceback."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator

import tensorflow as tf

from trainer.distribution.cluster import Cluster
from trainer.errors import EXIT_FAILED, UserError

# What TensorFlow's collective operations and its coordination service raise when a peer is gone or does not answer.
_RAISED = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
_SECONDS_TO_CONNECT = 2.0


@contextlib.contextmanager
def naming_lost_worker(cluster: Cluster | None, workdir: str) -> Iterator[None]:
    """Turns the failure of an operation over all workers into a message that names the worker that is gone.

    Args:
      cluster: the workers; None for a single process, whose errors are left alone.
      workdir: of the run, for the advice.

    Raises:
      UserError: a worker is gone; exit code 1.
    """
    try:
        yield
    except _RAISED as error:
        if cluster is None or not _is_of_a_peer(error):
            raise
        raise UserError(_text(error, cluster, workdir), exit_code=EXIT_FAILED) from error


def first_line(error: tf.errors.OpError) -> str:
    """What TensorFlow says first, without the graph's node and without the lines of the stack."""
    text = error.message.split("Collective ops is aborted by:")[-1]
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Detected at node")]
    return lines[0] if lines else type(error).__name__


def _is_of_a_peer(error: tf.errors.OpError) -> bool:
    return isinstance(error, tf.errors.UnavailableError) or bool(
        re.search(r"[Cc]ollective|CoordinationService|coordination service|/job:\w+/|task:\d+", error.message)
    )


def _text(error: tf.errors.OpError, cluster: Cluster, workdir: str) -> str:
    others = [i for i in range(cluster.workers) if i != cluster.index]
    # A dead process leaves a closed port; a frozen machine may still accept, and TensorFlow's text names it.
    lost = [i for i in others if not _answers(cluster.addresses[i])] or [
        i for i in _named(error.message, cluster) if i in others
    ]
    named = ", ".join(f"worker {i} ({cluster.addresses[i]})" for i in lost)
    return (
        f"Lost {named or 'the connection to another worker, though all of them answer'}: {first_line(error)}\n"
        f"This is worker {cluster.index} of {cluster.workers}. Without the others the global batch is not whole, so "
        "training ends here.\n  Why a worker ended, its own output says; one that ends without a word was killed, "
        "often for lack of memory.\n  Start all workers again with the same command: they go on from the newest "
        f"checkpoint in {workdir}. python -m trainer.launch does so by itself."
    )


def _named(message: str, cluster: Cluster) -> list[int]:
    """The workers whose tasks TensorFlow names."""
    tasks = re.findall(r"/job:(chief|worker)/(?:replica:\d+/)?task:(\d+)", message)
    return sorted({cluster.index_of(kind, int(task)) for kind, task in tasks})


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT):
            return True
    except OSError:
        return False
