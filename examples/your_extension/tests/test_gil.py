"""Both functions release the GIL, and threads that call them run side by side."""

from array import array

import pytest

from your_extension import mean_distance, mix

DATA = bytes(range(256)) * 100
X = array("d", range(1500))
Y = array("d", range(1500, 0, -1))


def test_results():
    assert mix(b"a", 1) != mix(b"b", 1)
    assert mean_distance(array("d", [0, 3]), array("d", [0, 4])) == 5


def test_mix_releases_the_gil(gil):
    gil.releases(mix, DATA, 100)


@pytest.mark.releases_gil
def test_mean_distance_releases_the_gil():
    mean_distance(X, Y)


def test_mix_scales(gil):
    gil.scales(mix, DATA, 100, workers=2, efficiency=0.7)


@pytest.mark.scales(workers=2, efficiency=0.7)
def test_mean_distance_scales():
    mean_distance(X, Y)
