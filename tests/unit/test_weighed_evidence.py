"""Evidence that weighs values by their distance from a limit."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from gilx.speedup.statistics import RunningMedian
from gilx.speedup.weighed_evidence import WeighedEvidence

pytestmark = pytest.mark.any_python

ALPHA = 1e-2
SEQUENCES, LENGTH = 2000, 40
DRAWS = {
    "student": lambda draw: draw.standard_t(3, (SEQUENCES, LENGTH)) * 0.1,
    "normal": lambda draw: draw.normal(0, 0.03, (SEQUENCES, LENGTH)),
    "smaller than the least scale": lambda draw: draw.normal(
        0, 1e-4, (SEQUENCES, LENGTH)
    ),
    "wider than the largest scale": lambda draw: draw.normal(0, 5.0, (SEQUENCES, LENGTH)),
}


def evidence_of(*values: float) -> tuple[float, float]:
    evidence = WeighedEvidence(0.0)
    for value in values:
        evidence.add(value)
    return evidence.logs()


@pytest.mark.parametrize("noise", DRAWS)
def test_evidence_at_the_limit_is_rarely_large_at_any_time(noise: str) -> None:
    """A sequence that is at the limit reaches 1/alpha in at most alpha of all cases."""
    rows = DRAWS[noise](np.random.default_rng(1))
    reached = 0
    for row in rows:
        evidence = WeighedEvidence(0.0)
        for value in row:
            evidence.add(float(value))
            if evidence.logs()[0] >= -math.log(ALPHA):
                reached += 1
                break
    # Four standard deviations above what alpha allows.
    most = ALPHA * SEQUENCES
    assert reached <= most + 4 * math.sqrt(most)


def test_few_values_far_from_the_limit_are_enough() -> None:
    draw = random.Random(1)
    found = RunningMedian(draw.gauss(0.2, 0.02) for _ in range(6))
    assert found.side(0.0, 1e-3) == 1
    assert found.side(0.4, 1e-3) == -1
    assert found.side(0.2, 1e-3) == 0


def test_three_values_decide_nothing() -> None:
    assert RunningMedian([5.0] * 3).side(0.0, 1e-3) == 0


def test_one_value_on_the_other_side_counts_by_its_size() -> None:
    near, far = ([0.2] * 7 + [other] for other in (-0.01, -2.0))
    assert evidence_of(*near)[0] > evidence_of(*far)[0]


def test_evidence_is_the_same_from_either_side() -> None:
    values = [0.3, 0.1, -0.2, 0.4]
    above, below = evidence_of(*values)
    assert evidence_of(*(-value for value in values)) == pytest.approx((below, above))


def test_values_beyond_the_most_are_not_weighed() -> None:
    evidence = WeighedEvidence(0.0)
    for _ in range(WeighedEvidence.most):
        evidence.add(0.1)
    before = evidence.logs()
    evidence.add(-5.0)
    assert evidence.logs() == before
    assert evidence.count == WeighedEvidence.most
