"""Small seeded data, and the form in which a program states its fault."""

import dataclasses
import inspect

import numpy as np

PROGRAMS = []


@dataclasses.dataclass(frozen=True)
class Stated:
    """A program with a fault, its mended twin, and what the doctor is to say; a healthy program if `kinds` is empty."""

    name: str
    build: object  # build(mended) -> the arguments of diagnose
    kinds: tuple = ()
    where: tuple = ()
    says: str = ""
    depth: str = "steps"  # how far the doctor has to look
    group: str = ""
    file: str = ""

    @property
    def healthy(self):
        return not self.kinds


def fault(kinds, where, says, depth="static"):
    """States the kinds (any counts), the places (any counts) and a part of the message of a program's fault."""

    def register(build):
        PROGRAMS.append(
            Stated(
                build.__name__,
                build,
                (kinds,) if isinstance(kinds, str) else kinds,
                (where,) if isinstance(where, str) else where,
                says,
                depth,
                build.__module__.rsplit(".", 1)[-1],
                inspect.getsourcefile(build),
            )
        )
        return build

    return register


def healthy(build):
    """Registers a program that only looks ill."""
    PROGRAMS.append(Stated(build.__name__, lambda mended: build(), group=build.__module__.rsplit(".", 1)[-1]))
    return build


def asked(model, loss, optimizer, x, y, batch_size=32, epochs=15, validation=None):
    """The arguments of `diagnose`."""
    return dict(
        model=model,
        loss=loss,
        optimizer=optimizer,
        x=x,
        y=y,
        batch_size=batch_size,
        epochs=epochs,
        validation=validation,
    )


def moons(n=400, seed=0):
    """Two interleaved half moons: x [n, 2], y [n] of 0 and 1."""
    r = np.random.default_rng(seed)
    y = r.integers(0, 2, n)
    t = r.uniform(0, np.pi, n)
    x = np.stack([np.cos(t) + y, np.where(y, 0.4 - np.sin(t), np.sin(t))], 1) + r.normal(0, 0.1, (n, 2))
    return ((x - x.mean(0)) / x.std(0)).astype("float32"), y


def groups(n=450, k=5, d=6, seed=0):
    """k clouds: x [n, d] standardised, y [n] of 0…k-1."""
    r = np.random.default_rng(seed)
    centres = np.random.default_rng(50 + k).normal(0, 2.2, (k, d))
    y = r.integers(0, k, n)
    x = centres[y] + r.normal(0, 1, (n, d))
    return ((x - x.mean(0)) / x.std(0)).astype("float32"), y


def curve(n=400, seed=0, d=2):
    """A smooth function of d numbers: x [n, d], y [n, 1] of mean 0 and deviation 1."""
    r = np.random.default_rng(seed)
    x = r.uniform(-2, 2, (n, d)).astype("float32")
    y = np.cos(2 * x[:, :1]) * 1.2 + 0.6 * x[:, 1:2] + r.normal(0, 0.05, (n, 1))
    return x, ((y - y.mean()) / y.std()).astype("float32")


def bars(n=240, size=12, seed=0):
    """Images [n, size, size, 1] in 0…1 with a bar that lies (0) or stands (1)."""
    r = np.random.default_rng(seed)
    x, y = r.uniform(0, 0.3, (n, size, size, 1)), r.integers(0, 2, n)
    for image, stands in zip(x, y, strict=True):
        at = r.integers(1, size - 2)
        image[(slice(None), slice(at, at + 2)) if stands else (slice(at, at + 2),)] += 0.6
    return x.astype("float32"), y


def discs(n=56, size=16, seed=0, classes=2, radius=(2.5, 5.0), channels=1):
    """Images in 0…1 with a brighter disc off the centre, and masks [n, size, size, 1] of 0…classes-1."""
    r = np.random.default_rng(seed)
    x, y = r.normal(0.3, 0.05, (n, size, size, channels)), np.zeros((n, size, size, 1), "int64")
    rows, columns = np.mgrid[:size, :size]
    for i in range(n):
        reach, k = r.uniform(*radius), r.integers(1, classes)
        inside = (rows - r.uniform(3, size / 2)) ** 2 + (columns - r.uniform(3, size - 4)) ** 2 < reach**2
        x[i][inside] += 0.5 * k / (classes - 1)
        y[i][inside] = k
    return np.clip(x, 0, 1).astype("float32"), y


def walks(n=320, t=12, seed=0):
    """Sequences [n, t, 1] of noise around a slope; y [n]: whether they rise."""
    r = np.random.default_rng(seed)
    y = r.integers(0, 2, n)
    x = (2 * y[:, None] - 1) * np.linspace(-1, 1, t) + r.normal(0, 0.6, (n, t))
    return x[..., None].astype("float32"), y


def words(n=320, length=8, seed=0):
    """Token ids [n, length] below 40; y [n]: whether more of them lie above 20."""
    r = np.random.default_rng(seed)
    x = r.integers(1, 40, (n, length))
    return x, ((x > 20).sum(1) > length / 2).astype("int64")


def one_hot(y, k):
    """Rows of one 1, the classes last."""
    y = np.asarray(y)
    return np.eye(k, dtype="float32")[(y[..., 0] if y.ndim > 1 and y.shape[-1] == 1 else y).astype(int)]
