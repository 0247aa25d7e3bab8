"""Which term of the loss trains which layer, and which terms pull against each other: a table of gradient norms."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from .capture.answer import entries_of
from .capture.private import inner_variable
from .capture.state import preserved

AGAINST = -0.5  # below this cosine, more than half of the smaller gradient is undone by the other


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """The gradients of one layer.

    Attributes:
      layer: the path of the layer, without the names of its variables.
      variables: how many there are.
      norms: by term, the norm of its gradient; None where the term does not reach the layer.
      total: the norm of the gradient of the sum of all terms.
      cosines: by pair of terms that both reach the layer, the cosine of the angle between their gradients, -1 to 1.
    """

    layer: str
    variables: int
    norms: dict[str, float | None]
    total: float
    cosines: dict[tuple[str, str], float]

    @property
    def against(self) -> tuple[tuple[str, str], ...]:
        """The pairs of terms that pull against each other in this layer."""
        return tuple(pair for pair, cosine in self.cosines.items() if cosine < AGAINST)


@dataclasses.dataclass(frozen=True)
class GradientTable:
    """Gradient norms of the terms of a loss, by layer; `print(table)`, `table.to_dict()`."""

    terms: dict[str, float]
    rows: tuple[LayerRow, ...]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What stands out, in sentences."""
        return tuple(_remarks(self))

    def __str__(self) -> str:
        return self.render()

    def render(self, most: int | None = None) -> str:
        """The table as text; with `most`, the layers where terms pull against each other, and some of the rest."""
        names = list(self.terms)
        width = max([len("layer"), *(len(row.layer) for row in self.rows)])
        columns = [max(len(name), 9) for name in names]
        head = " ".join(f"{name:>{size}}" for name, size in zip(names, columns, strict=True))
        lines = [f"{'layer':{width}}  {head}      total"]
        rows = _selected(self.rows, most)
        for row in rows:
            cells = [_number(row.norms[name]) for name in names]
            shown = " ".join(f"{cell:>{size}}" for cell, size in zip(cells, columns, strict=True))
            notes = [f"{a} against {b} ({row.cosines[a, b]:+.2f})" for a, b in row.against]
            lines.append(f"{row.layer:{width}}  {shown}  {_number(row.total):>9}  {', '.join(notes)}".rstrip())
        values = " ".join(f"{_number(self.terms[n]):>{size}}" for n, size in zip(names, columns, strict=True))
        lines.append(f"{'value':{width}}  {values}  {_number(sum(self.terms.values())):>9}")
        left = [f"… {len(self.rows) - len(rows)} more layers"] if len(rows) < len(self.rows) else []
        return "\n".join([*lines[:-1], *left, lines[-1], *self.remarks])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists, strings and numbers, ready for `json.dumps`."""
        rows = [
            {**dataclasses.asdict(row), "cosines": {f"{a}, {b}": value for (a, b), value in row.cosines.items()}}
            for row in self.rows
        ]
        return {"terms": self.terms, "rows": rows, "remarks": list(self.remarks)}


def gradient_table(terms: Callable[[], Mapping[str, Any]], variables: Iterable) -> GradientTable:
    """Measures what each term of a loss does to each layer, from one forward pass.

        table = gradient_table(lambda: {"dice": dice(y, model(x)), "ce": ce(y, model(x))}, model.trainable_variables)
        print(table)

    Args:
      terms: computes the terms of the loss, by name; each a scalar (or it is added up), weights of terms included.
      variables: Keras variables, `tf.Variable`s or tensors, in the order of the rows.

    Returns:
      A row a layer: the norm of each term's gradient, of their sum, and the cosine between every two terms. The cosine
      is g_a . g_b / (|g_a| |g_b|): at -1 the smaller of the two is undone entirely.

    Raises:
      TypeError: `terms` does not return a dict of tensors.
      Exception: what `terms` itself, or its backward pass, raises.
    """
    entries = entries_of(variables)
    with preserved(), tf.GradientTape(persistent=True) as tape:
        named = _checked(terms())
    sources = [inner_variable(entry.variable) for entry in entries]
    gradients = {
        name: [None if g is None else _flat(g) for g in tape.gradient(value, sources)] for name, value in named.items()
    }
    layers: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        layers.setdefault(entry.path.rpartition("/")[0] or entry.path, []).append(index)
    rows = [_row(layer, places, gradients) for layer, places in layers.items()]
    return GradientTable({name: float(tf.reduce_sum(value)) for name, value in named.items()}, tuple(rows))


def _selected(rows: tuple[LayerRow, ...], most: int | None) -> list[LayerRow]:
    """At most this many rows, in their order: those that stand out, then others evenly spaced."""
    if most is None or len(rows) <= most:
        return list(rows)
    outstanding = [i for i, row in enumerate(rows) if row.against][:most]
    spread = [round(i * (len(rows) - 1) / max(most - 1, 1)) for i in range(most)]
    chosen = dict.fromkeys([*outstanding, *spread])
    return [rows[i] for i in sorted(list(chosen)[:most])]


def _checked(terms: Any) -> Mapping[str, Any]:
    if not isinstance(terms, Mapping) or not terms or not all(tf.is_tensor(value) for value in terms.values()):
        kinds = {k: type(v).__name__ for k, v in terms.items()} if isinstance(terms, Mapping) else type(terms).__name__
        raise TypeError(
            "gradient_table() takes a function that returns the terms of the loss by name, each a tensor: "
            f"gradient_table(lambda: {{'dice': dice(y, p), 'ce': ce(y, p)}}, variables)\nReceived: {kinds}"
        )
    return terms


def _flat(gradient: Any) -> np.ndarray:
    return tf.reshape(tf.convert_to_tensor(gradient), [-1]).numpy().astype(np.float64)


def _row(layer: str, places: list[int], gradients: Mapping[str, list[np.ndarray | None]]) -> LayerRow:
    """The gradients of one layer by term; zeros for a variable that a term does not reach, if it reaches others."""
    sizes = {i: next((len(g[i]) for g in gradients.values() if g[i] is not None), 0) for i in places}
    whole: dict[str, np.ndarray | None] = {}
    for name, parts in gradients.items():
        reached = any(parts[i] is not None for i in places)
        whole[name] = (
            np.concatenate([parts[i] if parts[i] is not None else np.zeros(sizes[i]) for i in places])
            if reached
            else None
        )
    norms = {name: None if part is None else float(np.linalg.norm(part)) for name, part in whole.items()}
    known = [part for part in whole.values() if part is not None]
    total = float(np.linalg.norm(sum(known))) if known else 0.0
    cosines = {
        (a, b): float(whole[a] @ whole[b] / (norms[a] * norms[b]))
        for a, b in itertools.combinations(whole, 2)
        if norms[a] and norms[b]
    }
    return LayerRow(layer, len(places), norms, total, cosines)


def _remarks(table: GradientTable) -> Iterable[str]:
    for name in table.terms:
        reached = [row for row in table.rows if row.norms[name]]
        if not reached:
            yield f"'{name}' trains nothing: no layer gets a gradient from it. explain() says why."
        elif len(reached) < len(table.rows) and len(table.terms) > 1:
            yield f"'{name}' trains {len(reached)} of {len(table.rows)} layers."
    for pair in itertools.combinations(table.terms, 2):
        rows = [row for row in table.rows if pair in row.against]
        if rows:
            kept = min(row.total / max(sum(row.norms[name] for name in pair), 1e-30) for row in rows)
            yield (
                f"'{pair[0]}' and '{pair[1]}' pull against each other in {len(rows)} of {len(table.rows)} layers; "
                f"in the worst {kept:.0%} of their gradients is left."
            )
    sums = {name: math.fsum((row.norms[name] or 0.0) ** 2 for row in table.rows) ** 0.5 for name in table.terms}
    largest = max(sums, key=sums.get)
    for name, norm in sums.items():
        if norm and sums[largest] > 100.0 * norm:
            yield f"'{largest}' has {sums[largest] / norm:.0f} times the gradient of '{name}', which hardly counts."


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.3g}"
