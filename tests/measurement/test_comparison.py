"""z-scores and their threshold, from numbers written out by hand."""

import math

import numpy as np
import pytest

from meanfield.measurement.comparison import Comparison, compare, threshold

# Two-sided critical values of Student's t, as printed in tables.
TABLE = [
    (0.05, 10, 2.262),
    (0.01, 10, 3.250),
    (0.001, 10, 4.781),
    (0.05, 2, 12.706),
    (0.01, 2, 63.657),
    (0.05, 31, 2.042),
]


@pytest.mark.parametrize(("alpha", "seeds", "value"), TABLE)
def test_threshold_of_one_test_is_students(alpha, seeds, value):
    assert threshold(alpha, 1, seeds) == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(
    ("alpha", "tests", "seeds", "value"), [(0.05, 5, 10, 3.250), (0.05, 50, 10, 4.781), (0.1, 10, 2, 63.657)]
)
def test_threshold_divides_alpha_among_the_tests(alpha, tests, seeds, value):
    assert threshold(alpha, tests, seeds) == pytest.approx(value, abs=6e-4)


def test_threshold_rises_with_tests_and_falls_with_seeds():
    assert threshold(0.01, 150, 10) > threshold(0.01, 15, 10) > threshold(0.05, 15, 10)
    assert threshold(0.01, 150, 5) > threshold(0.01, 150, 10)
    assert threshold(0.05, 1, 10**6) == pytest.approx(1.95996, abs=1e-5)  # the normal's
    assert threshold(0.01, 0, 10) == threshold(0.01, 1, 10)  # nothing was tested


def of(ratio, predicted=None, tested=None, **more):
    ratio = np.asarray(ratio, float)
    layers, pairs = ratio.shape[1:]
    predicted = np.zeros((layers, pairs)) if predicted is None else predicted
    return compare("q", ratio, predicted, np.ones(layers, bool) if tested is None else np.array(tested), **more)


def test_z_is_the_deviation_in_standard_errors():
    # four networks, one layer, two pairs whose mean is the network's: 0.1, 0.3, 0.1, 0.3
    ratio = [[[0.0, 0.2]], [[0.2, 0.4]], [[0.1, 0.1]], [[0.3, 0.3]]]
    found = of(ratio, offset=np.zeros(1), allowance=np.zeros(1))
    error = math.sqrt(4 * 0.1**2 / 3) / 2
    assert found.z[0] == pytest.approx(0.2 / error)
    assert found.measured[0] == pytest.approx(math.exp(0.2)) and found.predicted[0] == 1.0
    assert found.error[0] == pytest.approx(math.exp(0.2) * error)
    moved = of(ratio, offset=np.array([0.05]), allowance=np.array([0.3]))
    assert moved.z[0] == pytest.approx(0.15 / math.hypot(error, 0.3))


def test_without_offset_the_mean_is_what_is_predicted():
    ratio = np.array([-0.3, 0.1, 0.2, 0.4]).reshape(4, 1, 1)
    half = np.var(ratio, ddof=1) / 2
    error = np.std(ratio, ddof=1) / 2
    assert of(ratio).z[0] == pytest.approx((0.1 + half) / math.hypot(error, half))


@pytest.mark.parametrize("sigma", [0.01, 0.3, 1.0])
def test_a_log_normal_with_the_predicted_mean_is_right_and_one_with_the_median_is_not(sigma):
    noise = sigma * np.random.default_rng(0).normal(size=(40_000, 1, 1))
    assert abs(of(noise - sigma**2 / 2).z[0]) < 4
    assert abs(of(noise + 3 * sigma**2 / 2, allowance=np.zeros(1)).z[0]) > 4
    assert abs(of(noise - sigma**2 / 2, allowance=np.zeros(1)).z[0]) < 4


def test_networks_are_the_samples_not_pairs():
    per_network = 0.1 * np.random.default_rng(0).normal(size=(8, 3, 1))
    once, often = of(per_network), of(np.repeat(per_network, 50, axis=2), predicted=np.zeros((3, 50)))
    np.testing.assert_allclose(often.z, once.z)
    np.testing.assert_allclose(often.error, once.error)


def test_geometric_means_over_pairs():
    predicted = np.log([[1.0, 4.0], [9.0, 1.0]])
    found = of(np.zeros((3, 2, 2)), predicted=predicted)
    np.testing.assert_allclose(found.predicted, [2.0, 3.0])
    np.testing.assert_allclose(found.measured, [2.0, 3.0])


def test_layers_that_do_not_count():
    ratio = np.random.default_rng(0).normal(size=(5, 3, 1))
    ratio[:, 1] += 1000
    found = of(ratio, tested=[True, False, True])
    assert np.isnan(found.z[1]) and np.isfinite(found.z[[0, 2]]).all()
    assert found.worst in (0, 2)
    found = of(ratio)
    assert found.worst == 1


def test_a_network_without_a_number_is_as_far_off_as_can_be():
    ratio = np.random.default_rng(0).normal(size=(5, 2, 1))
    ratio[3, 1] = np.nan
    found = of(ratio)
    assert found.z[1] == np.inf and np.isfinite(found.z[0])
    assert np.isnan(of(ratio, tested=[True, False]).z[1])


def one(z, tested, threshold):
    z = np.asarray(z, float)
    return Comparison(z, z, z, z, np.asarray(tested), threshold, "1 - c")


@pytest.mark.parametrize(
    ("z", "tested", "verdict", "worst", "shown"),
    [
        ([0.5, -2.9], [True, True], "agrees", 1, "1 - c: agrees, largest |z| 2.90 in layer 1"),
        ([0.5, -3.1], [True, True], "rejected", 1, "1 - c: rejected, largest |z| 3.10 in layer 1"),
        ([np.inf, 0.0], [True, True], "rejected", 0, "1 - c: rejected, largest |z| inf in layer 0"),
        ([0.5, np.nan], [True, False], "agrees", 0, "1 - c: agrees, largest |z| 0.50 in layer 0"),
        ([np.nan, np.nan], [False, False], "untested", None, "1 - c: untested"),
    ],
)
def test_verdicts(z, tested, verdict, worst, shown):
    found = one(z, tested, threshold=3.0)
    assert (found.verdict, found.worst, repr(found)) == (verdict, worst, shown)
