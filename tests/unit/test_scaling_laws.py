"""Scaling laws, against points made by a law and known noise."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gilx.errors import ArgumentError
from gilx.speedup.scaling_laws import ScalingFit, fit, karp_flatt, usl

MANY = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
FEW = [1, 2, 3, 4, 6, 8, 12, 16]


def points(
    workers: list[int],
    sigma: float,
    kappa: float,
    *,
    single: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> list[float]:
    rng = np.random.default_rng(seed)
    return [
        single * usl(n, sigma, kappa) * math.exp(noise * rng.standard_normal())
        for n in workers
    ]


def test_karp_flatt() -> None:
    assert karp_flatt(2, 2.0) == 0
    assert karp_flatt(2, 1.0) == 1
    assert karp_flatt(2, 0.8) == pytest.approx(1.5)
    assert karp_flatt(4, 5.0) < 0
    # What Amdahl's law gives has the same serial fraction for any number of workers.
    for workers in MANY[1:]:
        assert karp_flatt(workers, usl(workers, 0.03)) == pytest.approx(0.03)


@pytest.mark.parametrize("single", [1.0, 2.5e6, 3e-5])
@pytest.mark.parametrize(
    ("sigma", "kappa"),
    [
        (0, 0),
        (0.05, 0),
        (0.05, 1e-4),
        (0, 1e-6),
        (0.3, 1e-7),
        (1.0, 0),
        (1.2, 0.01),
        (3, 0),
    ],
)
def test_what_a_law_made_is_found_again(
    sigma: float, kappa: float, single: float
) -> None:
    for known in (None, single):
        found = fit(MANY, points(MANY, sigma, kappa, single=single), single=known)
        assert found.sigma == pytest.approx(sigma, rel=1e-6, abs=1e-9)
        assert found.kappa == pytest.approx(kappa, rel=1e-6, abs=1e-12)
        assert found.single == pytest.approx(single)
        assert found.scatter < 1e-9
        for workers in (1, 3, 10_000):
            law = found.predict(workers)
            assert law.value == pytest.approx(single * usl(workers, sigma, kappa))
            assert law.interval[0] <= law.value <= law.interval[1]


def test_the_peak_is_where_the_law_is_largest() -> None:
    found = fit(MANY, points(MANY, 0.04, 1e-4, noise=0.02))
    low, high = found.peak_interval
    assert low <= found.peak <= high
    assert found.peak == pytest.approx(math.sqrt((1 - 0.04) / 1e-4), rel=0.05)
    best = max(range(1, 300), key=lambda n: found.predict(n).value)
    assert abs(best - found.peak) <= 1
    # Nothing says that more workers are ever slower.
    assert fit(FEW, points(FEW, 0.04, 0)).peak == math.inf
    # More workers are slower from the second on.
    assert fit(FEW, points(FEW, 1.5, 0.1)).peak == 1
    assert fit(FEW, points(FEW, 1.5, 0)).peak == 1


def test_amdahl_has_no_coherency() -> None:
    found = fit(FEW, points(FEW, 0.1, 0), law="amdahl", single=1.0)
    assert (found.kappa, *found.kappa_interval) == (0, 0, 0)
    assert found.sigma == pytest.approx(0.1)
    assert found.predict(10**9).value == pytest.approx(10, rel=1e-6)


@pytest.mark.parametrize("law", ["amdahl", "usl"])
def test_predictions_have_a_largest_number_of_workers(law: str) -> None:
    found = fit(MANY, points(MANY, 0.1, 0), law=law)
    low, high = found.predict(10**15).interval
    assert 0 <= low <= high < math.inf
    for workers in (10**15 + 1, 10**154, 10**400):
        with pytest.raises(
            ArgumentError, match="workers: expected at most 1000000000000"
        ):
            found.predict(workers)


@pytest.mark.slow
@pytest.mark.any_python
@pytest.mark.parametrize("law", ["amdahl", "usl"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("workers", "sigma", "kappa", "noise"),
    [
        (FEW, 0.05, 0.002, 0.02),
        (MANY, 0.02, 1e-5, 0.05),
        (FEW, 0.05, 0.0, 0.02),
        ([1, 2, 3, 4, 5], 0.1, 0.01, 0.01),
    ],
)
def test_intervals_cover(
    law: str,
    known: bool,
    workers: list[int],
    sigma: float,
    kappa: float,
    noise: float,
) -> None:
    if law == "amdahl":
        kappa = 0.0
    runs = 150
    hits = dict.fromkeys(("sigma", "kappa", "peak", "single", "within", "beyond"), 0)
    for run in range(runs):
        values = points(workers, sigma, kappa, noise=noise, seed=run)
        found = fit(workers, values, law=law, single=1.0 if known else None)
        truths = {
            "sigma": (sigma, found.sigma_interval),
            "kappa": (kappa, found.kappa_interval),
            "peak": (
                math.sqrt((1 - sigma) / kappa) if kappa else math.inf,
                found.peak_interval,
            ),
            "single": (1.0, found.single_interval),
            "within": (usl(3, sigma, kappa), found.predict(3).interval),
            "beyond": (usl(5000, sigma, kappa), found.predict(5000).interval),
        }
        for name, (truth, (low, high)) in truths.items():
            slack = 1e-9 * truth if math.isfinite(truth) else 0
            hits[name] += low - slack <= truth <= high + slack
    # 95 % of 150 are 142.5; fewer than 134 come about once in a thousand such tests. At
    # a limit (no coherency) intervals are too wide rather than too narrow.
    assert min(hits.values()) >= 134, hits


def test_few_points_give_wide_intervals() -> None:
    few = fit([1, 2, 3, 4], points([1, 2, 3, 4], 0.1, 0.01, noise=0.02))
    many = fit(FEW, points(FEW, 0.1, 0.01, noise=0.02))
    assert few.sigma_interval[1] - few.sigma_interval[0] > (
        many.sigma_interval[1] - many.sigma_interval[0]
    )


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(1, 5000), st.floats(1e-6, 1e6)), min_size=4, max_size=12
    ),
    st.sampled_from(["amdahl", "usl"]),
)
def test_any_points_give_a_fit_or_a_reason(
    pairs: list[tuple[int, float]], law: str
) -> None:
    workers, values = zip(*pairs, strict=True)
    try:
        found = fit(workers, values, law=law)
    except ArgumentError as error:
        assert "different numbers of workers" in str(error)  # noqa: PT017
        return
    for figure, (low, high) in (
        (found.sigma, found.sigma_interval),
        (found.kappa, found.kappa_interval),
        (found.peak, found.peak_interval),
        (found.single, found.single_interval),
    ):
        assert 0 <= low <= figure * (1 + 1e-9)
        assert figure <= high * (1 + 1e-9)
    assert ScalingFit.from_json(found.to_json()) == found


def test_words() -> None:
    text = str(fit(MANY, points(MANY, 0.04, 1e-4, noise=0.02)))
    assert text.startswith("Universal Scalability Law, fitted to 13 points, 1 to 4096")
    assert "fastest with" in text
    text = str(fit(FEW, points(FEW, 0.04, 0), law="amdahl", single=1))
    assert text.startswith("Amdahl's law, fitted to 8 points")
    assert "known" in text
    assert "kappa" not in text
    assert "or more" in str(fit(FEW, points(FEW, 0.04, 0, noise=0.01)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"law": "gustafson"}, "law: expected one of amdahl, usl; got 'gustafson'"),
        ({"workers": [1, 2]}, "values: expected 2, one for each number of workers; got"),
        ({"workers": 3}, "workers: expected a sequence of numbers, got 3"),
        ({"values": "1234"}, "values: expected a sequence of numbers, got '1234'"),
        ({"workers": [0, 1, 2, 3]}, "workers: expected at least 1, got 0"),
        ({"workers": [1.5, 2, 3, 4]}, "workers: expected a whole number, got 1.5"),
        ({"workers": [1, 2, 3, 10**400]}, "workers: expected at most 10000000, got more"),
        ({"values": [1, 2, 3, 0]}, "values: expected above 0, got 0"),
        ({"values": [1, 2, 3, math.nan]}, "values: expected a finite number"),
        ({"single": -1}, "single: expected a finite number, at least 0"),
        (
            {"workers": [1, 2, 3, 3]},
            (
                "workers: expected at least 4 different numbers of workers for 3 unknown"
                " figures of the law; got 3"
            ),
        ),
        (
            {"workers": [1, 1, 2, 4], "single": 1},
            (
                "workers: expected at least 3 different numbers of workers above 1 for 2"
                " unknown figures of the law; got 2"
            ),
        ),
        (
            {"workers": [2, 2, 2, 2], "law": "amdahl"},
            "workers: expected at least 3 different numbers of workers for 2 unknown",
        ),
    ],
)
def test_bad_input(arguments: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"workers": [1, 2, 3, 4], "values": [1, 1.9, 2.7, 3.4]}
    with pytest.raises(ArgumentError) as caught:
        fit(**{**given, **arguments})
    assert words in str(caught.value)


@pytest.mark.parametrize(("workers", "speedup"), [(1, 1.0), (2, 0.0), (2, math.inf)])
def test_bad_speedups(workers: int, speedup: float) -> None:
    with pytest.raises(ArgumentError):
        karp_flatt(workers, speedup)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "got gilx.scaling, version 2; a newer gilx wrote it"),
        ({"schema": "x"}, "expected JSON of schema gilx.scaling, version 1; got x"),
        ({"sigma": "much"}, "text.sigma: expected float, got 'much'"),
        ({"sigma": -1}, "text.sigma: expected a finite number, at least 0; got -1"),
        ({"sigma": "inf"}, "text.sigma: expected a finite number, at least 0; got inf"),
        ({"sigma": 10**400}, "text.sigma: expected float, got 1000"),
        ({"workers": [], "values": []}, "text.workers: expected at least one number"),
        ({"workers": [1, 2]}, "text.values: expected 2, one for each"),
        ({"workers": [1, True, 3, 4]}, "text.workers[1]: expected int, got True"),
        ({"peak_interval": [1]}, "text.peak_interval: expected a list of 2, got [1]"),
        ({"law": "x"}, "text.law: expected one of amdahl, usl; got 'x'"),
        ({"more": 1}, "text: expected no field 'more'"),
        ({"kappa": None}, "text.kappa: expected a finite number, at least 0; got nan"),
    ],
)
def test_bad_files(change: dict[str, Any], words: str) -> None:
    text = fit([1, 2, 3, 4], [1, 1.9, 2.7, 3.4]).to_json()
    changed = json.dumps({**json.loads(text), **change})
    with pytest.raises(ArgumentError) as caught:
        ScalingFit.from_json(changed)
    assert words in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_truncated_files(cut: int) -> None:
    text = fit([1, 2, 3, 4], [1, 1.9, 2.7, 3.4]).to_json()
    with pytest.raises(ArgumentError, match="got other text"):
        ScalingFit.from_json(text[:cut])


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "3", '{"schema": []}'])
def test_hostile_files(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"expected JSON of schema gilx\.scaling"):
        ScalingFit.from_json(text)
