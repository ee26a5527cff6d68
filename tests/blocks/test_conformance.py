"""Every block against its definition: one conformance test for all, and numbers for each block."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.blocks.block import has_trait
from meanfield.blocks.kernel import Kernel
from meanfield.errors import InputError

DENSE = mf.Dense(1.3, 0.2)
BLOCKS = {
    "mlp": mf.MLP("erf", 1.3, 0.2),
    "relu": mf.MLP("relu", 1.3, 0.2),
    "residual": mf.Residual(mf.MLP("erf", 1.3, 0.2), scale=0.7, skip=0.9),
    "post-activation": mf.Residual(DENSE >> mf.Activate("relu"), scale=0.7) >> DENSE,
    "repeat": mf.Repeat(mf.MLP("erf", 1.3, 0.2), 3),
    "sum": mf.Sum((mf.MLP("erf", 1.3, 0.2), mf.MLP("relu", 0.6))),
    "dropout": mf.Activate("erf") >> mf.Dropout(0.2) >> DENSE,
    "noise": mf.Activate("relu") >> mf.Noise(0.4, 0.3) >> DENSE,
    "layer norm": mf.Activate("relu") >> mf.LayerNorm(1.2) >> DENSE,
    "rms norm": mf.Activate("relu") >> mf.RMSNorm(1.2) >> DENSE,
    "weight standardized": mf.Activate("relu") >> mf.WeightStandardized(1.5, 0.2),
    "convolution": mf.Activate("erf") >> mf.Conv([0.5, 0.3, 0.2], 1.3, 0.2),
    "glu": mf.GLU("erf") >> mf.Dense(1.1, 0.5),
    "nrelu": mf.NReLU() >> DENSE,
}
BATCHES = {
    "batch norm": mf.Activate("erf") >> DENSE >> mf.BatchNorm(gamma=0.8),
    "attention": mf.Residual(mf.Attention(5, sigma_v=0.7)) >> mf.Residual(mf.MLP("erf", 1.3), scale=0.5),
}
KERNELS = [(1.0, 1.0, 0.3), (1.0, 2.0, 0.5), (0.7, 0.7, 1e-9), (0.5, 0.1, 0.02)]


def kernel(q1, q2, gap, block=None):
    a, b, g = (jnp.asarray(v, float) for v in (q1, q2, gap))
    if block is not None and has_trait(block, "couples_members"):
        return Kernel(a, a, g, 0 * a, gap_within=0.7 * a, gap_across=0.7 * a + 0.5 * g, equal=True)
    return Kernel(a, b, g, 0 * a)


def numbers(k):
    return jnp.stack([k.q1, k.q2, k.gap])


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


# Each compiles three programs; what two blocks share is tested once.
QUICK = ("relu", "residual", "dropout", "glu", "batch norm")
SLOW = [pytest.param(n, marks=pytest.mark.slow) if n not in QUICK else n for n in [*BLOCKS, *BATCHES]]


@pytest.mark.parametrize("name", SLOW)
def test_conformance(name):
    block = (BLOCKS | BATCHES)[name]

    def f(block, q1, q2, gap):
        return numbers(block(kernel(q1, q2, gap, block)))

    compiled = jax.jit(f)
    loop = np.array([compiled(block, *k) for k in KERNELS])
    # jit is eager (one kernel of the four: eager is slow), vmap is the loop.
    np.testing.assert_allclose(f(block, *KERNELS[0]), loop[0], rtol=1e-12)
    many = jax.jit(jax.vmap(f, in_axes=(None, 0, 0, 0)))(block, *np.array(KERNELS).T)
    # A batch's norm subtracts what two batches share: of a gap it keeps what rounding of the variances leaves.
    left = 1e-22 if name in BLOCKS else 2 * np.finfo(float).eps * loop[0, 0]
    np.testing.assert_allclose(many, loop, rtol=1e-9, atol=left)
    # A pair has no order.
    if name in BLOCKS:
        swapped = np.array([compiled(block, b, a, g) for a, b, g in KERNELS])
        np.testing.assert_allclose(swapped[:, [1, 0, 2]], loop, rtol=1e-9, atol=1e-22)
    correlation = 1 - loop[:, 2] / np.sqrt(loop[:, 0] * loop[:, 1])
    assert np.all(np.abs(correlation) <= 1 + 1e-15) and np.all(loop[:, 2] >= 0)
    slopes = jax.jit(jax.jacfwd(f, argnums=(0, 1, 2, 3)))
    for k in ((1.0, 1.0, 0.0), (1e-14, 1e-14, 0.0)):
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slopes(block, *k))), k


@pytest.mark.parametrize("name", SLOW[: len(BLOCKS)])
def test_a_germ_is_the_derivative_at_gap_0(name):
    block, q = BLOCKS[name], jnp.asarray(0.8)
    after = block(Kernel.coincident(q))
    pair = block(Kernel.pair(q, 1e-7 * q))
    assert float(after.q1) == pytest.approx(float(pair.q1), rel=1e-14)
    if name in ("dropout", "noise", "nrelu"):
        # Finite pairs have independent masks.
        assert float(pair.gap) > 0.01 and float(after.gap) > 0
    else:
        # ReLU's next order is sqrt(gap).
        assert float(pair.gap / 1e-7 / q) == pytest.approx(float(after.gap), rel=1e-3)


def test_the_algebra():
    a, b, c = mf.Activate("erf"), mf.Dense(1.2, 0.1), mf.LayerNorm()
    assert ((a >> b) >> c) == (a >> (b >> c)) == mf.Serial((a, b, c))
    at = kernel(1.0, 2.0, 0.5)
    nested = mf.Serial((a, mf.Serial((b, c))))
    np.testing.assert_array_equal(numbers(nested(at)), numbers((a >> b >> c)(at)))
    identity = mf.Residual(mf.MLP("relu", 1.5, 0.3), scale=0.0)
    np.testing.assert_allclose(numbers(identity(at)), numbers(at), rtol=1e-15)
    twice = mf.MLP("erf", 1.2, 0.1) >> mf.MLP("erf", 1.2, 0.1)
    np.testing.assert_allclose(numbers(mf.Repeat(a >> b, 2)(at)), numbers(twice(at)), rtol=1e-13)
    np.testing.assert_allclose(
        numbers(mf.Residual(a >> b)(at)), numbers(mf.Sum((mf.Serial(()), a >> b))(at)), rtol=1e-13
    )


def test_a_branch_must_be_independent_of_what_it_is_added_to():
    for block in (mf.Residual(mf.Activate("tanh")), mf.Sum((mf.LayerNorm(), mf.Dropout(0.1)))):
        with pytest.raises(InputError, match="random weights"):
            mf.variance_map(block, 1.0)
    with pytest.raises(InputError, match=r"'erf'.* follows Dropout\(.*, which leaves no Gaussian"):
        mf.variance_map(mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Activate("erf"), 1.0)
    with pytest.raises(InputError, match="not Gaussian"):
        mf.variance_map(mf.Residual(DENSE >> mf.Activate("tanh")) >> mf.Residual(mf.GLU("tanh") >> DENSE), 1.0)


SAMPLES = 400_000


def sampled_pairs(q1, q2, gap, rng):
    c = 1 - gap / np.sqrt(q1 * q2)
    u, v = rng.standard_normal((2, SAMPLES))
    return np.sqrt(q1) * u, np.sqrt(q2) * (c * u + np.sqrt(1 - c**2) * v)


def agrees(block, found, q1=1.0, q2=2.0, gap=0.5):
    """(q1, q2, q12) of a block against samples of (x^2, y^2, x y): z-scores below 4.5; the converse with 3% more."""
    after = block(kernel(q1, q2, gap))
    theory = np.array([after.q1, after.q2, jnp.sqrt(after.q1 * after.q2) - after.gap])
    products = np.array([found[0] ** 2, found[1] ** 2, found[0] * found[1]])
    error = products.std(1) / np.sqrt(SAMPLES)
    assert np.all(np.abs(products.mean(1) - theory) < 4.5 * error)
    assert np.any(np.abs(products.mean(1) - 1.03 * theory) > 4.5 * error)


def relu(x):
    return np.maximum(x, 0)


def test_noise_and_gates_by_monte_carlo():
    rng = np.random.default_rng(1)
    x, y = sampled_pairs(1.0, 2.0, 0.5, rng)
    masks = rng.random((2, SAMPLES)) > 0.3
    agrees(mf.Dropout(0.3), [masks[0] * x / 0.7, masks[1] * y / 0.7])
    noise = rng.standard_normal((4, SAMPLES))
    agrees(mf.Noise(0.5, 0.3), [x * (1 + 0.5 * noise[0]) + 0.3 * noise[1], y * (1 + 0.5 * noise[2]) + 0.3 * noise[3]])
    v, w = sampled_pairs(1.0, 2.0, 0.5, rng)
    agrees(mf.GLU("relu"), [relu(x) * v, relu(y) * w])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def clipped(x):
    return np.clip(x - 0.5, 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("phi", [np.tanh, sigmoid, clipped])
def test_activations_behind_random_factors_by_monte_carlo(phi):
    rng = np.random.default_rng(6)
    names = {sigmoid: "sigmoid", np.tanh: "tanh"}
    act = mf.Activate(names.get(phi, "clip(x - 0.5, 0, 1)"))
    x, y = sampled_pairs(1.0, 2.0, 0.5, rng)
    masks, noise = rng.random((2, SAMPLES)) > 0.3, rng.standard_normal((4, SAMPLES))
    masked = [masks[0] * x / 0.7, masks[1] * y / 0.7]
    agrees(mf.Dropout(0.3) >> act, [phi(h) for h in masked])
    plus = [masked[0] + 0.6 * noise[0], masked[1] + 0.6 * noise[1]]
    agrees(mf.Dropout(0.3) >> mf.Noise(additive=0.6) >> act, [phi(h) for h in plus])
    again = rng.random((2, SAMPLES)) > 0.2
    agrees(
        mf.Dropout(0.3) >> mf.Noise(additive=0.6) >> mf.Dropout(0.2) >> act,
        [phi(h * mask / 0.8) for h, mask in zip(plus, again, strict=True)],
    )
    noisy = mf.Noise(0.5, 0.3) >> mf.Dropout(0.3) >> act
    units = [x * (1 + 0.5 * noise[0]) + 0.3 * noise[1], y * (1 + 0.5 * noise[2]) + 0.3 * noise[3]]
    agrees(noisy, [phi(h * mask / 0.7) for h, mask in zip(units, masks, strict=True)])
    # A gradient through the same draw, by finite differences.
    h = 1e-5
    moved = (phi(masks[0] * (units[0] + h * (1 + 0.5 * noise[0])) / 0.7) - phi(masks[0] * units[0] / 0.7)) / h
    chi = float(noisy(Kernel.coincident(jnp.asarray(1.0))).gap)
    assert abs(np.mean(moved**2) - chi) < 4.5 * np.std(moved**2) / np.sqrt(SAMPLES) + 1e-4


@pytest.mark.slow
def test_noisy_rectifiers_by_monte_carlo():
    rng = np.random.default_rng(5)
    x, y = sampled_pairs(1.0, 2.0, 0.5, rng)
    noise = rng.standard_normal((2, SAMPLES))
    std = [np.sqrt(1 / (1 + np.exp(-h))) for h in (x, y)]
    agrees(mf.NReLU(), [relu(x + std[0] * noise[0]), relu(y + std[1] * noise[1])])
    # The gradient of one unit through the reparametrized noise, by finite differences with the noise held.
    h = 1e-4
    moved = (relu(x + h + np.sqrt(1 / (1 + np.exp(-x - h))) * noise[0]) - relu(x + std[0] * noise[0])) / h
    chi = float(mf.NReLU()(Kernel.coincident(jnp.asarray(1.0))).gap)
    assert abs(np.mean(moved**2) - chi) < 4.5 * np.std(moved**2) / np.sqrt(SAMPLES) + 1e-3


def test_means_over_the_channels_by_monte_carlo():
    # Channel means matter to normalization, standardized weights and post-activation residuals.
    rng = np.random.default_rng(2)
    x, y = (relu(h) for h in sampled_pairs(1.0, 2.0, 0.5, rng))
    act = mf.Activate("relu")
    centred = [x - x.mean(), y - y.mean()]
    agrees(act >> mf.LayerNorm(), [h / h.std() for h in centred])
    agrees(act >> mf.RMSNorm(), [h / np.sqrt(np.mean(h**2)) for h in (x, y)])
    agrees(act >> mf.WeightStandardized(1.7), [1.7 * h for h in centred])
    u, v = (relu(h) for h in sampled_pairs(1.0, 2.0, 0.5, rng))
    both = mf.Sum((act, mf.Dense(1.0) >> act))
    agrees(both, [x + u, y + v])


def test_weight_standardization_preserves_variance():
    layer = mf.Activate("relu") >> mf.WeightStandardized((2 / (1 - 1 / np.pi)) ** 0.5)
    assert float(mf.variance_map(layer, 1.0)) == pytest.approx(1.0, rel=1e-14)
    # Its residual network with branch scale 0.2 grows by 0.04 a block (Brock, De & Smith 2021).
    path = mf.trajectory(mf.Residual(mf.LayerNorm() >> layer, scale=0.2), 3)
    assert float(path.q1[3]) ** 0.5 == pytest.approx(1.058301, abs=1e-6)


def test_convolution_averages_under_its_profile():
    rng = np.random.default_rng(3)
    n, profile = 6, np.array([0.5, 0.3, 0.2])
    vectors = rng.standard_normal((2, n, 40))
    q1, q2, q12 = (np.sum(a * b, -1) for a, b in ((vectors[0],) * 2, (vectors[1],) * 2, vectors))
    after = mf.Conv(profile, 1.3, 0.2)(Kernel(jnp.array(q1), jnp.array(q2), jnp.sqrt(q1 * q2) - q12))
    index = (np.arange(n)[:, None] + np.arange(-1, 2)) % n
    expected = [1.69 * a[index] @ profile + 0.04 for a in (q1, q2, q12)]
    np.testing.assert_allclose(after.q1, expected[0], rtol=1e-13)
    np.testing.assert_allclose(after.q2, expected[1], rtol=1e-13)
    np.testing.assert_allclose(jnp.sqrt(after.q1 * after.q2) - after.gap, expected[2], rtol=1e-12, atol=1e-12)
    dense, conv = (layer(kernel(1.0, 2.0, 0.5)) for layer in (mf.Dense(1.3, 0.2), mf.Conv("uniform", 1.3, 0.2)))
    np.testing.assert_array_equal(numbers(dense), numbers(conv))


def test_independent_kernels_add_without_cancellation():
    # Two nearly parallel vectors of different lengths: the gap of the sum in integers, exactly.
    a, b = Kernel(jnp.asarray(1.0), jnp.asarray(4.0), 1e-14), Kernel(jnp.asarray(2.0), jnp.asarray(8.0), 3e-15)
    assert float(a.add(b).gap) == pytest.approx(1.3e-14, rel=1e-12)
    apart = a.add(replace(b, q2=jnp.asarray(2.0), gap=0.0)).gap
    assert float(apart) == pytest.approx(np.sqrt(3 * 6) - 4, rel=1e-13)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: mf.fixed_point(mf.Activate("tanh") >> mf.Dropout(1.0) >> DENSE), "rate=1.0"),
        (lambda: mf.fixed_point(mf.Activate("tanh") >> mf.Noise(-1.0) >> DENSE), "multiplicative=-1.0"),
        (lambda: mf.Conv("gaussian"), "profile='gaussian'"),
        (lambda: mf.Conv([-1.0, 2.0]), "profile="),
        (lambda: mf.fixed_point(mf.BatchNorm(3) >> mf.MLP("relu", 1.0)), "batch_size=3"),
        (lambda: mf.fixed_point(mf.BatchNorm(8) >> DENSE), "batch_size=8"),
        (lambda: mf.variance_map(mf.Activate("tanh") >> mf.Dense(-1.0), 1.0), "sigma_w=-1.0"),
        (lambda: mf.growth(mf.BatchNorm() >> mf.MLP("relu", 1.0)), "more than a variance"),
    ],
)
def test_bad_input(make, says):
    with pytest.raises(InputError) as caught:
        make()
    assert says in str(caught.value) and "\n" not in str(caught.value)
