"""Keeps TensorFlow's remarks off the terminal: lines that C++ writes to standard error at any log level."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# "E0000 00:00:1795651559.894702    8213 node_def_util.cc:682] NodeDef mentions …", and TensorFlow's own older form.
_LOGGED = re.compile(
    rb"(?:\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: )?(?P<level>[IWEF])(?:\d{4} \d\d:\d\d:[\d.]+\s+\d+)? "
    rb"(?P<file>[\w/.]+\.(?:cc|h|cpp)):\d+\]\s?(?P<text>.*)"
)
_REMARKS = (
    rb"WARNING: All log messages before absl::InitializeLog\(\)",
    rb"INFO: (?:Created TensorFlow Lite|Initialized TensorFlow Lite)",
    rb"\s*(?:I tensorflow/|To enable the following instructions)",
)
# Of lines marked as errors only these, by their text.
_NO_ERRORS = (
    rb"NodeDef mentions attribute \w+ which is not in the op definition",
    rb"oneDNN supports DT_HALF only on platforms with",
)
_NO_ERRORS_WITHOUT_GPU = (rb"Unable to register \w+ factory", rb"[Ff]ailed call to cu\w+", rb"CUDA|cuda|cuDNN|cuBLAS")


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Inside, standard error is held back; it is then written without TensorFlow's remarks.

    Errors, Python's warnings and every line not known to be a remark are written, in order, and after an exception
    everything is. A user who has set TF_CPP_MIN_LOG_LEVEL below 2 wants to see the remarks: then nothing is held back.
    """
    try:
        wanted = int(os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")) < 2
        sys.stderr.flush()
        before = os.dup(2)
    except (ValueError, OSError, AttributeError):  # no usable standard error
        wanted = True
    if wanted:
        yield
        return
    failed = True
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
            failed = False
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            held.seek(0)
            text = b"".join(line for line in held if failed or not is_chatter(line))
            with contextlib.suppress(OSError):
                os.write(2, text)


def is_chatter(line: bytes) -> bool:
    """Whether a line of standard error is one of TensorFlow's remarks that need no action."""
    if any(re.match(pattern, line) for pattern in _REMARKS):
        return True
    logged = _LOGGED.match(line)
    if logged is None:
        return False
    harmless = _NO_ERRORS if glob.glob("/dev/nvidia[0-9]*") else (*_NO_ERRORS, *_NO_ERRORS_WITHOUT_GPU)
    return logged["level"] in b"IW" or any(re.search(pattern, logged["text"]) for pattern in harmless)
