"""How often the doctor names the fault of a program, and how often it accuses one that has none: rates by kind.

    python -m benchmarks.doctor                     # all of tests/guard/doctor, about eight minutes on two cores
    python -m benchmarks.doctor masks batch         # those whose name or file holds one of the words
    python -m benchmarks.doctor --verify            # trains each with `fit`, without the doctor: is it what it says?

A fault counts as named if a finding has one of its kinds, as placed if that one has one of its places, and as said if
the text holds the piece of the message that the program states. Every finding about a mended twin or a sound program
counts as an accusation. Each program is judged alone, from the same seed. The seconds are processor time. On a machine
that others keep busy the doctor's own time runs out before its steps are made: give it more with --seconds.
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import time
from collections import defaultdict

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def built(program, mended: bool) -> dict:
    """The arguments of `diagnose`, from a fixed seed."""
    import keras

    keras.utils.clear_session(free_memory=False)  # the names start anew; collecting garbage would take as long again
    keras.utils.set_random_seed(7)
    return program.build(mended)


def judged(program, mended: bool, depth: str = "steps", seconds: float = 12.0):
    """(diagnosis, seconds of processor time) of a program or its mended twin."""
    from trainer.guard import diagnose

    arguments = built(program, mended)
    started = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        diagnosis = diagnose(**arguments, depth=depth, seconds=seconds)
    return diagnosis, time.process_time() - started


def hits(program, diagnosis) -> tuple[bool, bool, bool, bool]:
    """Whether the fault is named, placed, said in the stated words, and on a line of the program's own file."""
    named = [finding for finding in diagnosis.findings if finding.kind in program.kinds]
    placed = [finding for finding in named if set(finding.places) & set(program.where)]
    text = " ".join(str(diagnosis).split())
    lined = any(finding.file == program.file and finding.line for finding in placed)
    return bool(named), bool(placed), bool(placed) and program.says in text, lined


def trained(program, mended: bool) -> float:
    """What `fit` learns of a program: 1 - error / error of a constant answer, with the labels of the mended twin."""
    import numpy as np

    arguments = built(program, mended)
    model = arguments["model"]
    model.compile(optimizer=arguments["optimizer"], loss=arguments["loss"], jit_compile=False)
    history = model.fit(
        arguments["x"],
        arguments["y"],
        verbose=0,
        epochs=arguments["epochs"],
        **({} if arguments["y"] is None else {"batch_size": arguments["batch_size"]}),
    )
    right = built(program, True)
    if right["y"] is None or isinstance(right["y"], dict):
        return float(history.history["loss"][-1] / history.history["loss"][0])
    answer, y = np.asarray(model.predict(arguments["x"], verbose=0)), np.asarray(right["y"])
    if answer.shape[-1] > 1 and answer.size != y.size:
        wrong = answer.argmax(-1).ravel() != y.ravel()
        return 1 - float(wrong.mean() / (1 - np.bincount(y.ravel().astype(int)).max() / y.size))
    answer, y = answer.reshape(len(y), -1), y.reshape(len(y), -1).astype("float64")
    if answer.shape != y.shape:
        return float("nan")
    if set(np.unique(y)) <= {0, 1}:
        if answer.min() < -0.5:
            answer = 1 / (1 + np.exp(-answer))
        return 1 - float((np.round(answer) != y).mean() / min(y.mean(), 1 - y.mean()))
    return 1 - float(((answer - y) ** 2).mean() / ((y - y.mean(0)) ** 2).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="parts of names or files")
    parser.add_argument("--verify", action="store_true", help="train the programs instead of judging them")
    parser.add_argument("--seconds", type=float, default=12.0, help="what the doctor may take, 12 if not said")
    parser.add_argument("--text", action="store_true", help="print every diagnosis")
    args = parser.parse_args()

    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    from tests.guard.doctor.programs import all_programs

    programs = [p for p in all_programs() if not args.words or any(w in p.name or w in p.group for w in args.words)]
    if args.verify:
        for program in programs:
            values = [trained(program, mended) for mended in ((True,) if program.healthy else (False, True))]
            print(f"{program.name:55}", *(f"{value:7.2f}" for value in values), flush=True)
        return
    rates, seconds, accused, quiet = defaultdict(lambda: [0, 0, 0, 0, 0]), [], [], 0
    for program in programs:
        if not program.healthy:
            diagnosis, taken = judged(program, False, seconds=args.seconds)
            seconds.append(taken)
            row = hits(program, diagnosis)
            for index, hit in enumerate((True, *row)):
                rates[program.kinds[0]][index] += hit
            if args.text:
                print(f"--- {program.name}\n{diagnosis}\n")
            if not all(row[:3]):
                found = [(finding.kind, finding.where) for finding in diagnosis.findings]
                print(f"{program.name}: named, placed, said {row[:3]}; found {found}", flush=True)
        diagnosis, taken = judged(program, True, seconds=args.seconds)
        seconds.append(taken)
        quiet += 1
        if diagnosis.findings:
            accused.append(program.name)
            print(
                f"{program.name} {'is sound' if program.healthy else 'mended'}, and is accused:\n{diagnosis}\n",
                flush=True,
            )
    total = [sum(row[i] for row in rates.values()) for i in range(5)]
    print(f"\n{'kind':32}{'faults':>8}{'named':>8}{'placed':>8}{'said':>8}{'line':>8}")
    for kind, row in sorted(rates.items(), key=lambda item: -item[1][0]):
        print(f"{kind:32}" + "".join(f"{count:8}" for count in row))
    print(f"{'all':32}" + "".join(f"{count:8}" for count in total))
    print(f"accused without a fault: {len(accused)} of {quiet} mended twins and sound programs")
    print(f"seconds: median {statistics.median(seconds):.2f}, worst {max(seconds):.2f}")
    sys.exit(bool(accused) if not total[0] else 0)


if __name__ == "__main__":
    main()
