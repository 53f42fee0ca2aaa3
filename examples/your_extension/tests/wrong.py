"""Example of a failure: ``pytest tests/wrong.py`` (it is not run otherwise)."""

from array import array

from your_extension import mean_distance_wrong

X = array("d", range(1500))
Y = array("d", range(1500, 0, -1))


def test_mean_distance_wrong_releases_the_gil(gil):
    gil.releases(mean_distance_wrong, X, Y)
