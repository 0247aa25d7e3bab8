"""What a process needs before TensorFlow is imported, in one place: oneDNN, the allocator, threads, log level.

    from trainer.process import prepare

    prepare()            # the first line of a script, before TensorFlow or Keras is imported
    import tensorflow

TensorFlow's own defaults cost a factor of two to three on ordinary processors. What is set, and why:

- `TF_ENABLE_ONEDNN_OPTS=1` on x86: TensorFlow turns oneDNN on by itself only where the processor has AVX512-VNNI or
  AMX. The default U-Net's step took 1724 ms on two AVX2 cores without it and 642 with it.
- glibc's malloc keeps what is freed (Linux with glibc): tensors of megabytes otherwise go back to the kernel at each
  step and are taken again, page by page: 581 of 1586 ms of processor time a step. Memory stays at its peak for it.
- As many threads as the container may use: TensorFlow counts the processors of the machine, not the share of them that
  a container's quota grants, and waits for threads that are not scheduled.
- GPU memory is taken as it is needed (`TF_FORCE_GPU_ALLOW_GROWTH`), not all at once: another program can use the card.
  The allocator (`TF_GPU_ALLOCATOR`) and cuDNN's autotuner stay TensorFlow's own; docs/gpu.md says why.
- Keras's backend is TensorFlow, whatever ~/.keras/keras.json says; C++ chatter is off, its errors stay.

A variable that the user has set stays as it is. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import os
import platform
import sys
import warnings
from collections.abc import Mapping

# mallopt's parameters, from glibc's malloc.h, and the environment's names for the same.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MALLOC_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_")
_MIB = 2**20

# Features of a processor that decide which kernels run, and with them the last bits.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")
# Of the user's: they decide about bits as well, and are recorded though nothing here sets them.
_RECORDED = ("ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "TF_XLA_FLAGS", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What this process runs under.

    Attributes:
      set: variable -> value, of those that `prepare` has set.
      kept: variable -> value, of those that the user had set.
      late: variables that could no longer be set because TensorFlow had been imported.
      allocator: in words: whose malloc, and whether it keeps what is freed.
      processor: the instruction sets that choose kernels.
    """

    set: Mapping[str, str]
    kept: Mapping[str, str]
    late: tuple[str, ...]
    allocator: str
    processor: tuple[str, ...]

    def describe(self) -> str:
        """A few lines for a person."""
        lines = [f"Processor: {platform.machine()}" + (f" with {', '.join(self.processor)}" if self.processor else "")]
        if self.set:
            lines.append("Set: " + ", ".join(f"{name}={value}" for name, value in self.set.items()))
        if self.kept:
            lines.append("As your environment says: " + ", ".join(f"{n}={v}" for n, v in self.kept.items()))
        if self.late:
            lines.append(f"Too late to set, since TensorFlow was imported before: {', '.join(self.late)}")
        return "\n".join([*lines, f"Memory: {self.allocator}"])

    def to_dict(self) -> dict[str, str]:
        """What to write beside a run's config: it decides about speed, and about the last bits of a result."""
        recorded = {name: os.environ[name] for name in _RECORDED if name in os.environ}
        not_set = dict.fromkeys(self.late, "not set")
        values = {**self.set, **self.kept, **not_set, **recorded}
        values.pop("TF_CPP_MIN_LOG_LEVEL", None)
        return {**values, "allocator": self.allocator, "processor": f"{platform.machine()} {' '.join(self.processor)}"}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Sentences about what differs between two `Settings.to_dict()` and makes a continued run's last bits differ."""
    found = []
    for name in sorted({*before, *now} - {"allocator", "TF_FORCE_GPU_ALLOW_GROWTH"}):
        old, new = before.get(name, "not set"), now.get(name, "not set")
        if old != new:
            found.append(f"{name} was {old} and is {new}")
    return found


def prepare() -> Settings:
    """Sets what the process needs, once; another call returns the same. Call it before TensorFlow is imported.

    After that import the allocator can still be set, the variables cannot; a `RuntimeWarning` names them then.
    """
    return _prepared()


def recorded() -> dict[str, str]:
    """`Settings.to_dict()` of a process that was prepared; empty for one that was not."""
    return prepare().to_dict() if _prepared.cache_info().currsize else {}


def described() -> str:
    """`Settings.describe()`, likewise."""
    return prepare().describe() if _prepared.cache_info().currsize else ""


@functools.cache
def _prepared() -> Settings:
    imported = "tensorflow" in sys.modules
    done, kept, late = {}, {}, []
    for name, value in wanted().items():
        # Another backend than TensorFlow cannot be had here: what the user says of it is for other programs.
        if name in os.environ and (name != "KERAS_BACKEND" or os.environ[name] == value):
            kept[name] = os.environ[name]
        elif imported:
            late.append(name)
        else:
            os.environ[name] = done[name] = value
    settings = Settings(done, kept, tuple(late), _keep_freed_memory(), processor())
    if "TF_ENABLE_ONEDNN_OPTS" in late or "KERAS_BACKEND" in late:
        warnings.warn(
            f"trainer.process.prepare() came after the import of TensorFlow, so {', '.join(late)} could not be set; on "
            "many processors training is then two to three times slower. Call it in the first line of the script.",
            RuntimeWarning,
            stacklevel=3,
        )
    return settings


def wanted() -> dict[str, str]:
    """The variables that suit this machine, whatever the environment holds."""
    values = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    if platform.machine().lower() in ("x86_64", "amd64"):
        values["TF_ENABLE_ONEDNN_OPTS"] = "1"
    quota = cpu_quota()
    if quota is not None and quota < _processors():
        values["TF_NUM_INTRAOP_THREADS"] = values["TF_NUM_INTEROP_THREADS"] = str(quota)
    return values


def usable_processors() -> int:
    """The processors that this process may use: the machine's, or the container's quota."""
    return min(_processors(), cpu_quota() or _processors())


def cpu_quota(root: str = "/sys/fs/cgroup") -> int | None:
    """Processors that the container's quota grants, rounded up; None without a quota."""
    try:
        with open(os.path.join(root, "cpu.max"), encoding="utf-8") as file:
            granted, period = file.read().split()
    except (OSError, ValueError):
        try:
            # cgroup version 1.
            with open(os.path.join(root, "cpu/cpu.cfs_quota_us"), encoding="utf-8") as file:
                granted = file.read().strip()
            with open(os.path.join(root, "cpu/cpu.cfs_period_us"), encoding="utf-8") as file:
                period = file.read().strip()
        except OSError:
            return None
    if granted in ("max", "-1"):
        return None
    return max(1, -(-int(granted) // int(period)))


def memory_limit(root: str = "/sys/fs/cgroup") -> int | None:
    """Bytes that this process may use: the machine's, or the limit of its container (cgroup, at any level)."""
    found = []
    try:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        pass
    for path in (*_own_cgroups(root), os.path.join(root, "memory/memory.limit_in_bytes")):
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read().strip()
        except OSError:
            continue
        # Version 1 writes a number near 2^63 where there is no limit.
        if text.isdigit() and int(text) < 2**60:
            found.append(int(text))
    return min(found) if found else None


def _own_cgroups(root: str) -> list[str]:
    """memory.max of this process's cgroup and those above it: the lowest counts."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = next((line.split(":", 2)[2].strip() for line in file if line.startswith("0::")), "/")
    except OSError:
        own = "/"
    parts = [part for part in own.split("/") if part and part != ".."]
    return [os.path.join(root, *parts[:count], "memory.max") for count in range(len(parts) + 1)]


def processor() -> tuple[str, ...]:
    """Which of the instruction sets that choose kernels this processor has; empty where it cannot be read."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return ()
    return tuple(name for name in _INSTRUCTIONS if name in flags.split())


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _keep_freed_memory() -> str:
    """Has glibc's malloc keep freed memory; returns what was done, in words."""
    if sys.platform != "linux":
        return f"the allocator of {platform.system()}, as it is"
    preloaded = os.path.basename(os.environ.get("LD_PRELOAD", "").split(":")[0].split(" ")[0])
    if any(name in preloaded for name in ("jemalloc", "tcmalloc", "mimalloc")):
        return f"{preloaded}, preloaded by your environment"
    own = [name for name in _MALLOC_VARIABLES if name in os.environ]
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        own.append("GLIBC_TUNABLES")
    if own:
        return f"glibc's malloc as your environment says ({', '.join(own)})"
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  musl has mallopt's name without its effect, and no such function
        mallopt = libc.mallopt
    except (OSError, AttributeError):
        return "the C library's malloc as it is (not glibc)"
    # Older versions of glibc take no threshold above 32 MiB.
    thresholds = mallopt(_M_MMAP_THRESHOLD, 1024 * _MIB) or mallopt(_M_MMAP_THRESHOLD, 32 * _MIB)
    if thresholds and mallopt(_M_TRIM_THRESHOLD, 1024 * _MIB) and mallopt(_M_TOP_PAD, 256 * _MIB):
        return "glibc's malloc, keeping what is freed"
    return "glibc's malloc as it is (it refused its options)"
