"""A page about training on this machine's GPU: precision, XLA, first step, time busy, loss, pipeline, process settings.

    python -m benchmarks.gpu                # needs TensorFlow with CUDA and nothing else; some 20 minutes
    python -m benchmarks.gpu --only=steps   # any of steps,loss,pipeline,process
    python -m benchmarks.gpu --small        # small networks, few steps: whether it runs; so it does without a GPU

Steps are whole training steps as `main.py` makes them (guard, finite test, clipping, optimizer), on one batch that
stays, so without the pipeline. Each row is built anew; the first step traces, compiles and lets cuDNN choose its
algorithms. "busy" is the share of time in which a kernel ran, as nvidia-smi counts it, or, without a GPU, of all
processors together. Memory is TensorFlow's own count of its highest use. A row that does not fit says so.

NVIDIA's published numbers are of their networks on an A100 (DeepLearningExamples: UNet_Medical with valid convolutions
at 572 x 572, nnUNet in 2-D); here it is our U-Net of that width and size, so that the gain of mixed precision over TF32
can be set beside theirs, not the images a second.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

from trainer.process import prepare

prepare()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import losses as loss_benchmark  # noqa: E402
from benchmarks import pipeline as pipeline_benchmark  # noqa: E402
from configs.nuclei import get_config  # noqa: E402
from configs.schema import Augment, Config, Data, Evaluate, Model, Train  # noqa: E402
from trainer import Run  # noqa: E402
from trainer.reporting.memory.out_of_memory import is_out_of_memory, size_of  # noqa: E402
from trainer.stepping.step import make_train_steps  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network and its batch; `published`: NVIDIA's images a second on an A100, TF32 and mixed."""

    name: str
    width: int
    depth: int
    size: tuple[int, int]
    batch: int
    channels: int = 3
    classes: int = 2
    published: tuple[float, float] | None = None

    def config(self, precision: str, jit_compile: bool) -> Config:
        names = tuple(f"class_{number}" for number in range(self.classes))
        return Config(
            data=Data(classes=names, channels=self.channels),
            model=Model(width=self.width, depth=self.depth),
            augment=Augment(crop=self.size),
            train=Train(batch_size=self.batch, jit_compile=jit_compile),
            evaluate=Evaluate(panels=0, metric="loss"),
            precision=precision,
        )


SETTINGS = (
    Setting("default U-Net", 16, 4, (128, 128), 8),
    Setting("U-Net of width 64", 64, 4, (512, 512), 8),
    # Their valid convolutions take 572; ours keep the size, which four halvings have to divide.
    Setting("U-Net at 572 x 572", 64, 4, (576, 576), 8, channels=1, published=(63, 141)),
    Setting("2-D nnU-Net", 32, 5, (192, 160), 128, channels=4, classes=4, published=(882, 1845)),
)
SMALL = (Setting("small U-Net", 4, 1, (16, 32), 4, channels=2, classes=3, published=(63, 141)),)
# Row -> policy and whether TF32 is allowed; the first is what the others are compared with.
PRECISIONS = {
    "TF32": ("float32", True),
    "float32": ("float32", False),
    "float16": ("mixed_float16", True),
    "bfloat16": ("mixed_bfloat16", True),
}
# What can be set of the process, each tried in one of its own; docs/gpu.md says what was decided.
PROCESSES = {
    "as main.py sets it": {},
    "TF_GPU_ALLOCATOR=cuda_malloc_async": {"TF_GPU_ALLOCATOR": "cuda_malloc_async"},
    "all memory at once": {"TF_FORCE_GPU_ALLOW_GROWTH": "false"},
    "cuDNN's autotuner off": {"TF_CUDNN_USE_AUTOTUNE": "0"},
}


@dataclasses.dataclass(frozen=True)
class Row:
    """first: seconds of the first step; rate: images a second; busy: 0 to 1; memory: bytes. None is not known."""

    first: float
    rate: float
    busy: float | None
    memory: int | None


def gpus() -> list:
    return tf.config.list_physical_devices("GPU")


def measured(config: Config, seconds: float) -> Row:
    """One row of steps."""
    keras.backend.clear_session()
    gc.collect()
    if gpus():
        tf.config.experimental.reset_memory_stats("GPU:0")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (config.train.batch_size, *config.augment.crop, config.data.channels), np.uint8)
    labels = random.integers(0, len(config.data.classes), images.shape[:3], np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(config, workdir=folder, data={"train": (images, labels), "validation": None})
        batch = {"image": images.astype(np.float32), "label": labels.astype(np.int32)}
        many = make_train_steps(run.state, run.totals, run.strategy, run.config).many
        iterator = iter(tf.data.Dataset.from_tensors(batch).cache().repeat().prefetch(2))

        def steps(count: int) -> float:
            start = time.perf_counter()
            many(iterator, tf.constant(count, tf.int64))
            run.state.step.numpy()
            return time.perf_counter() - start

        first = steps(1)
        once = max(steps(2) / 2, 1e-6)
        count = max(1, min(1000, int(seconds / 3 / once)))
        with busy() as used:
            passed = [steps(count) for _ in range(3)]
        memory = tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpus() else None
    return Row(first, count * config.train.batch_size / statistics.median(passed), used(), memory)


@contextlib.contextmanager
def busy() -> Iterator:
    """Inside it watches; the function that it gives returns the share of time busy."""
    found: list[float] = []
    program = shutil.which("nvidia-smi") if gpus() else None
    if program is None:
        wall, processor = time.perf_counter(), time.process_time()
        yield lambda: None if gpus() else found[0]
        used = (time.process_time() - processor) / max(time.perf_counter() - wall, 1e-9) / (os.cpu_count() or 1)
        found.append(min(1.0, used))
        return
    command = [program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0", "--loop-ms=200"]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    reader = threading.Thread(
        target=lambda: found.extend(float(line) for line in watcher.stdout if line.strip().isdigit())
    )
    reader.start()
    try:
        yield lambda: statistics.mean(found) / 100 if found else None
    finally:
        watcher.terminate()
        watcher.wait()
        reader.join()


def steps_table(settings, seconds: float) -> None:
    print("\n## Steps\n")
    print("| network | precision | XLA | first step s | images/s | against TF32 | busy | memory |")
    print("|---|---|---|---|---|---|---|---|")
    for setting in settings:
        base: dict[bool, float] = {}
        for name, (policy, tf32) in PRECISIONS.items():
            for jit_compile in (False, True):
                tf.config.experimental.enable_tensor_float_32_execution(tf32)
                row = tried(lambda s=setting, p=policy, j=jit_compile: measured(s.config(p, j), seconds))
                head = f"| {setting.name} | {name} | {'on' if jit_compile else 'off'} |"
                if isinstance(row, str):
                    print(f"{head} {row} | | | | |", flush=True)
                    continue
                if name == "TF32":
                    base[jit_compile] = row.rate
                ratio = f"{row.rate / base[jit_compile]:.2f}" if jit_compile in base else "-"
                print(
                    f"{head} {row.first:.1f} | {row.rate:.1f} | {ratio} | {share(row.busy)} | {held(row.memory)} |",
                    flush=True,
                )
        if setting.published:
            before, after = setting.published
            print(f"| NVIDIA on an A100 | TF32 -> mixed | | | {before:g} -> {after:g} | {after / before:.2f} | | |")
    tf.config.experimental.enable_tensor_float_32_execution(True)


def loss_table(shape: tuple[int, int, int, int], rounds: int) -> None:
    """softmax, Dice and cross-entropy: one value and its gradient."""
    print(f"\n## The loss, dice+cross_entropy of logits {list(shape)}\n")
    print("| | ms | memory above its inputs |\n|---|---|---|")
    logits = tf.random.stateless_normal(shape, (0, 1))
    ids = tf.random.stateless_uniform(shape[:3], (0, 2), 0, shape[3], tf.int32)
    made = {"fused": loss_benchmark.ours("dice+cross_entropy"), "written out": loss_benchmark.written_out()}
    for name, loss in made.items():

        @tf.function
        def step(ids, logits, loss=loss):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = loss(ids, logits)
            return value, tape.gradient(value, logits)

        def call(step=step):
            start = time.perf_counter()
            value, gradient = step(ids, logits)
            value.numpy(), gradient[0, 0, 0, 0].numpy()
            return time.perf_counter() - start

        def times(call=call):
            call()
            before = 0
            if gpus():
                tf.config.experimental.reset_memory_stats("GPU:0")
                before = tf.config.experimental.get_memory_info("GPU:0")["current"]
            found = statistics.median(call() for _ in range(rounds))
            peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] - before if gpus() else None
            return f"{found * 1e3:.2f} | {held(peak)}"

        print(f"| {name} | {tried(times)} |", flush=True)
    if not gpus():
        print("\nMemory on a CPU: python -m benchmarks.losses")


def pipeline_section(config: Config, seconds: float) -> None:
    print("\n## The pipeline, on the default recipe's images\n")
    for processes in (0, min(8, max(2, (os.cpu_count() or 2) // 2))) if gpus() else (0,):
        own = dataclasses.replace(config, data=dataclasses.replace(config.data, processes=processes))
        with tempfile.TemporaryDirectory() as folder:
            run = Run(own, workdir=folder)
            try:
                rates = pipeline_benchmark.measure(run, seconds)
            finally:
                run.data.train.close()
        print(f"data.processes={processes}:\n{rates}", flush=True)


def process_table(setting: Setting, seconds: float, settings=PROCESSES) -> None:
    print(f"\n## The process ({setting.name}, each in one of its own)\n")
    print("| setting | first step s | images/s | memory |\n|---|---|---|---|")
    for name, variables in settings.items():
        what = json.dumps([dataclasses.asdict(setting), seconds])
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.gpu", "--one", what],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        line = next((line for line in done.stdout.splitlines() if line.startswith('{"first"')), None)
        if line is None:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            print(f"| {name} | failed: {last[:120]} | | |", flush=True)
            continue
        row = Row(**json.loads(line))
        print(f"| {name} | {row.first:.1f} | {row.rate:.1f} | {held(row.memory)} |", flush=True)


def one(text: str) -> None:
    """A row of `process_table`, in this process."""
    fields, seconds = json.loads(text)
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    config = Setting(**fields).config("auto" if gpus() else "float32", False)
    print(json.dumps(dataclasses.asdict(measured(config, seconds))), flush=True)


def tried(measure):
    """What `measure` gives, or that it does not fit."""
    try:
        return measure()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return "does not fit"


def share(value: float | None) -> str:
    return "?" if value is None else f"{value:.0%}"


def held(count: int | None) -> str:
    return "?" if count is None else size_of(count)


def heading() -> None:
    print("# Training on this machine\n")
    for gpu in gpus():
        details = tf.config.experimental.get_device_details(gpu)
        capability = ".".join(map(str, details.get("compute_capability", ("?",))))
        print(f"- {details.get('device_name', gpu.name)}, compute capability {capability}")
    if not gpus():
        print("- no GPU: small networks on the CPU, which shows that every row runs and nothing about GPUs")
    build = tf.sysconfig.get_build_info()
    print(
        f"- TensorFlow {tf.__version__}, CUDA {build.get('cuda_version', '-')}, cuDNN {build.get('cudnn_version', '-')}"
    )
    print(f"- {os.cpu_count()} processors", flush=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small networks, few steps; always so without a GPU")
    parser.add_argument("--only", default="steps,loss,pipeline,process", help="any of these (default all)")
    parser.add_argument("--seconds", type=float, help="of each row (default 10, small 0.2)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        one(options.one)
        return
    small = options.small or not gpus()
    seconds, only = options.seconds or (0.2 if small else 10.0), options.only.split(",")
    settings = SMALL if small else SETTINGS
    heading()
    if "steps" in only:
        steps_table(settings, seconds)
    if "loss" in only:
        loss_table((2, 32, 32, 4) if small else (8, 512, 512, 21), 3 if small else 20)
    if "pipeline" in only:
        config = get_config()
        if small:
            config = dataclasses.replace(
                config, model=Model(width=2, depth=1), augment=Augment(crop=(32, 32)), train=Train(batch_size=4)
            )
        pipeline_section(config, seconds)
    if "process" in only:
        process_table(settings[0], seconds, dict(list(PROCESSES.items())[: 1 if small and not gpus() else None]))


if __name__ == "__main__":
    main(sys.argv[1:])
