"""From the claims against all labels to an order: the images whose labels are most probably wrong first.

    score = evidence / (evidence + typical)

typical is the evidence, of the same kind, that the strongest claim has in one image of ten, and at least 1/4: a score
above one half says that at most one image in ten has as strong a claim. So kinds that a network often errs in, say
objects that nobody labelled, do not come before those that it seldom does. An image's score is that of its strongest
claim.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from trainer.label_audit.claims import KINDS, LOOSE, Claim

_SEAMS, _TYPICAL, _LEAST = 0.95, 0.9, 0.25
# Without a region of seams anywhere: pixels.
_SEAM = 3.0
# Claims below this are not listed.
_LISTED = 0.2


@dataclasses.dataclass(frozen=True)
class Ranked:
    """An image and what is said against its label.

    Attributes:
      number: the image's, among those that were given.
      score: 0 … 1, that of the strongest claim; 0 without one.
      claims: with their scores, the strongest first; weak ones are left out, but for an image's strongest.
    """

    number: int
    score: float
    claims: tuple[tuple[Claim, float], ...]


def ranked(claims: Sequence[Sequence[Claim]]) -> list[Ranked]:
    """The images, the most suspicious first; of equal scores in their order.

    Args:
      claims: of each image, as `claims_of` gives them.
    """
    seam = seam_of(claims)
    evidence = [[(claim, claim.evidence(seam)) for claim in each] for each in claims]
    typical = _typical(evidence)
    found = []
    for number, each in enumerate(evidence):
        scored = [(claim, value / (value + typical[claim.kind])) for claim, value in each]
        scored.sort(key=lambda pair: -pair[1])
        kept = [pair for place, pair in enumerate(scored) if pair[1] >= _LISTED or (not place and pair[1] > 0)]
        found.append(Ranked(number, scored[0][1] if scored else 0.0, tuple(kept)))
    return sorted(found, key=lambda image: -image.score)


def seam_of(claims: Sequence[Sequence[Claim]]) -> float:
    """The radius, in pixels, that one in twenty of the seams exceeds."""
    radii = [claim.radius for each in claims for claim in each if claim.kind == LOOSE and not claim.whole_label]
    return float(np.quantile(radii, _SEAMS)) if radii else _SEAM


def _typical(evidence) -> Mapping[str, float]:
    strongest = {
        kind: [max((v for c, v in each if c.kind == kind), default=0.0) for each in evidence] for kind in KINDS
    }
    return {kind: max(_LEAST, float(np.quantile(values, _TYPICAL))) for kind, values in strongest.items() if values}
