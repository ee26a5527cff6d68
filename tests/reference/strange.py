"""Reference values of 40 strange activations, in `strange.json`: `python tests/reference/strange.py`.

Independent of the library. q*, chi_1 and chi_q: mpmath with 25 digits, Gauss-Legendre (in the logarithm of the
distance at singular kinks) between the breakpoints given here, Newton's method on V(q) = q, to 1e-15. c* and chi_c:
the Hermite expansion
C(c) = sum of a_n^2 c^n in binary64 on 16-point panels, as many terms as converge, to about 1e-11; null where they do
not (c* close to 1).
"""

# ruff: noqa: B008, E501

import json
import math
from pathlib import Path

import mpmath as mp
import numpy as np
from scipy.optimize import brentq

mp.mp.dps = 25
WAVES = [k / 2 for k in range(-20, 21)]


def around(at, width):
    return [at + s * width for s in (-12, -6, -3, -1.5, 0, 1.5, 3, 6, 12)]


# text: (phi, phi', breakpoints, singular, sigma_w, sigma_b); the functions act on mpmath numbers.
CASES = {}


def case(text, phi, slope, breaks, w, b, singular=False):
    CASES[text] = phi, slope, sorted({*breaks}), singular, w, b


def sech2(x):
    return 1 / mp.cosh(x) ** 2


for at, width, height in ((0.777, 0.003, 3), (0.3, 0.0015, 5), (-1.2, 0.01, 2), (2.5, 0.025, 10), (0.0, 0.005, 1)):
    case(
        f"tanh(x)+{height}*exp(-((x-({at}))/{width})**2)",
        lambda x, a=mp.mpf(str(at)), s=mp.mpf(str(width)), h=height: mp.tanh(x) + h * mp.exp(-(((x - a) / s) ** 2)),
        lambda x, a=mp.mpf(str(at)), s=mp.mpf(str(width)), h=height: (
            sech2(x) - 2 * h * (x - a) / s**2 * mp.exp(-(((x - a) / s) ** 2))
        ),
        around(at, width),
        0.9,
        0.2,
    )
case(
    "tanh(x)+10*exp(-((x-6)*40)**2)",
    lambda x: mp.tanh(x) + 10 * mp.exp(-(((x - 6) * 40) ** 2)),
    lambda x: sech2(x) - 32000 * (x - 6) * mp.exp(-(((x - 6) * 40) ** 2)),
    around(6, 0.025),
    1.6,
    0.05,
)
for k in (5, 10, 20):
    case(f"sin({k}*x)", lambda x, k=k: mp.sin(k * x), lambda x, k=k: k * mp.cos(k * x), WAVES, 0.9, 0.2)
    case(f"x+.2*sin({k}*x)", lambda x, k=k: x + mp.mpf(".2") * mp.sin(k * x),
         lambda x, k=k: 1 + mp.mpf(".2") * k * mp.cos(k * x), WAVES, 0.6, 0.3)  # fmt: skip
case("x+.1*cos(7*x)**2", lambda x: x + mp.mpf(".1") * mp.cos(7 * x) ** 2,
     lambda x: 1 - mp.mpf(".7") * mp.sin(14 * x), WAVES, 0.7, 0.3)  # fmt: skip
for k, at in ((20, 1), (50, 0.5), (200, -0.3)):
    case(f"tanh({k}*(x-({at})))", lambda x, k=k, a=mp.mpf(str(at)): mp.tanh(k * (x - a)),
         lambda x, k=k, a=mp.mpf(str(at)): k * sech2(k * (x - a)), around(at, 1 / k), 0.9, 0.2)  # fmt: skip
case("sigmoid(30*x)", lambda x: 1 / (1 + mp.exp(-30 * x)), lambda x: mp.mpf(30) / 4 * sech2(15 * x),
     around(0, 1 / 30), 1.5, 0.1)  # fmt: skip
case("x*sigmoid(20*x)", lambda x: x / (1 + mp.exp(-20 * x)),
     lambda x: 1 / (1 + mp.exp(-20 * x)) + 5 * x * sech2(10 * x), around(0, 1 / 20), 1.3, 0.2)  # fmt: skip
for p in ("0.51", "0.55", "0.6", "0.75", "0.9", "1.2", "1.5"):
    e = mp.mpf(p)
    case(f"abs(x)**{p}", lambda x, e=e: abs(x) ** e, lambda x, e=e: mp.sign(x) * e * abs(x) ** (e - 1), [0], 0.9 if e < 1 else 0.6, 0.2,
         True)  # fmt: skip
    if p in ("0.6", "0.75", "1.2"):
        case(f"sign(x)*abs(x)**{p}", lambda x, e=e: mp.sign(x) * abs(x) ** e,
             lambda x, e=e: e * abs(x) ** (e - 1), [0], 1.4 if e < 1 else 0.8, 0.3, True)  # fmt: skip
for p, at in (("0.7", 0.5), ("0.8", -1.0), ("1.3", 0.25)):
    e = mp.mpf(p)
    case(f"abs(x-({at}))**{p}", lambda x, e=e, a=at: abs(x - a) ** e,
         lambda x, e=e, a=at: mp.sign(x - a) * e * abs(x - a) ** (e - 1), [at], 1.2 if e < 1 else 0.7, 0.2, True)  # fmt: skip
case("where(x>0, sqrt(abs(x))**1.5, 0)", lambda x: x ** mp.mpf(".75") if x > 0 else mp.mpf(0),
     lambda x: mp.mpf(".75") * x ** mp.mpf("-.25") if x > 0 else mp.mpf(0), [0], 1.5, 0.2, True)  # fmt: skip
case("where(x>0, x*log(abs(x)+1e-30), 0)", lambda x: x * mp.log(x + mp.mpf("1e-30")) if x > 0 else mp.mpf(0),
     lambda x: mp.log(x) + 1 if x > mp.mpf("1e-26") else mp.mpf(0), [0], 1.4, 0.2, True)  # fmt: skip
for w, b, text in ((math.exp(-2.0), 1.0, "exp(x)"), (math.exp(-12.0), 11**0.5, "exp(x)+0*x")):
    case(text, mp.exp, mp.exp, [], w, b)
case("sinh(x)", mp.sinh, mp.cosh, [], 0.5, 0.3)
case("exp(2*x)", lambda x: mp.exp(2 * x), lambda x: 2 * mp.exp(2 * x), [], 0.01, 0.3)
case("x**5/100", lambda x: x**5 / 100, lambda x: x**4 / 20, [], 0.5, 0.7)
case("exp(x**2/8)", lambda x: mp.exp(x**2 / 8), lambda x: x / 4 * mp.exp(x**2 / 8), [], 0.3, 0.3)
case("cos(8*x)*exp(-x**2)", lambda x: mp.cos(8 * x) * mp.exp(-(x**2)),
     lambda x: (-8 * mp.sin(8 * x) - 2 * x * mp.cos(8 * x)) * mp.exp(-(x**2)), WAVES, 3.0, 0.2)  # fmt: skip


def panels(breaks, std, grows):
    """Breakpoints at every deviation as far as 11, or 40 where phi grows fast, and the case's own."""
    most = 11 if grows is None else 40
    ends = [std * k for k in range(-most, most + 1)] + [b for b in breaks if abs(b) < most * std]
    return sorted({mp.mpf(e) for e in ends})


def legendre(n):
    """Gauss-Legendre in full precision, by Newton's method from NumPy's nodes."""
    found = []
    for start in np.polynomial.legendre.leggauss(n)[0]:
        t = mp.mpf(float(start))
        for _ in range(3):
            before, now = mp.mpf(1), t
            for k in range(1, n):
                before, now = now, ((2 * k + 1) * t * now - k * before) / (k + 1)
            slope = n * (t * now - before) / (t * t - 1)
            t -= now / slope
        found.append((t, 2 / ((1 - t * t) * slope**2)))
    return found


NODES = legendre(30)


def moments(phi, slope, breaks, singular, q):
    """E[phi^2], E[phi'^2], d E[phi^2] / dq."""
    std = mp.sqrt(q)
    mp.mp.dps = 60 if singular and breaks != [0] else 25  # a node next to a kink keeps its distance
    grows = None if phi(11 * std) < 1e3 else True
    edges, found = panels(breaks, std, grows), [mp.mpf(0)] * 3
    for lo, hi in zip(edges, edges[1:], strict=False):
        near = [k for k in map(mp.mpf, breaks) if singular and k in (lo, hi)]
        straight = ((lo + (hi - lo) * (1 + t) / 2, (hi - lo) / 2 * w) for t, w in NODES)
        for x, dx in towards(near[0], lo + hi - near[0]) if near else straight:
            weight = dx * mp.exp(-(x * x) / (2 * q)) / mp.sqrt(2 * mp.pi * q)
            value = phi(x) ** 2 * weight
            found[0] += value
            found[1] += slope(x) ** 2 * weight
            found[2] += value * (x * x / q - 1) / (2 * q)
    return found


def towards(kink, far):
    """Nodes from far to a kink in minus the log of the distance, from 0 to 2000 (100 where the kink is not 0)."""
    length = mp.mpf(far) - kink
    ends = [mp.mpf(0)] + [mp.mpf(2) ** k for k in range(12 if kink == 0 else 7)]
    for lo, hi in zip(ends, ends[1:], strict=False):
        for t, w in NODES:
            s = lo + (hi - lo) * (1 + t) / 2
            distance = length * mp.exp(-s)
            yield kink + distance, (hi - lo) / 2 * w * abs(distance)


def fixed(phi, slope, breaks, singular, w, b):
    w2, b2 = mp.mpf(w) ** 2, mp.mpf(b) ** 2
    q = mp.mpf(1)
    with mp.workdps(15):
        for _ in range(30):
            new = w2 * moments(phi, slope, breaks, singular, q)[0] + b2
            done = abs(new - q) < 0.05 * q
            q = new
            if done:
                break
    for _ in range(8):
        second, squared, growth = moments(phi, slope, breaks, singular, q)
        step = (w2 * second + b2 - q) / (1 - w2 * growth)
        q += step
        if abs(step) < mp.mpf("1e-12") * q:  # the error is of the square
            break
    return q, w2 * squared, w2 * growth


def pair(phi, breaks, singular, w, b, q, terms=2500):
    """c* and chi_c by the Hermite expansion; None where 1 - c* is too small for these terms."""
    std = math.sqrt(q)
    t, g = np.polynomial.legendre.leggauss(16)
    ends = np.linspace(-13, 13, 1200)
    fine = [np.linspace(lo, hi, 9) for lo, hi in zip(breaks, breaks[1:], strict=False)] if len(breaks) < 20 else []
    graded = [k + s * 2.0 ** -np.arange(0, 45) for k in breaks for s in (-1, 1)] if singular else []
    ends = np.unique(np.concatenate([ends, *(np.asarray(part, float) / std for part in (breaks, *fine, *graded))]))
    lo, hi = ends[:-1, None], ends[1:, None]
    z, dz = ((lo + hi) / 2 + (hi - lo) / 2 * t).ravel(), ((hi - lo) / 2 * g).ravel()
    f = np.array([float(phi(mp.mpf(x))) for x in std * z]) * dz * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    before, now, a = np.ones_like(z), z, [f.sum(), f @ z]
    for n in range(2, terms):
        before, now = now, (z * now - math.sqrt(n - 1) * before) / math.sqrt(n)
        a.append(f @ now)
    share, n = w**2 * np.array(a) ** 2 / q, np.arange(terms)

    def excess(c):
        return share @ c**n + b**2 / q - c

    high = 1 - 25 / terms
    if excess(high) <= 0:
        # Below c* = 1 - 25/terms the neglected terms are below 1e-11 of the whole.
        if excess(high) > -1e-6:
            return None, None
        grid = np.linspace(0, high, 4001)
        signs = np.array([excess(c) for c in grid])
        c = brentq(excess, 0.0, grid[np.argmax(signs < 0)], xtol=1e-15)
        return 1 - c, float(share[1:] @ (n[1:] * c ** (n[1:] - 1)))
    return None, None


if __name__ == "__main__":
    rows = []
    for text, (phi, slope, breaks, singular, w, b) in CASES.items():
        q, chi_1, chi_q = fixed(phi, slope, breaks, singular, w, b)
        e, chi_c = pair(phi, breaks, singular, w, b, float(q)) if chi_1 > 1 else (0.0, float(chi_1))
        e, chi_c = (None if of is None else float(of) for of in (e, chi_c))
        row = {"phi": text, "sigma_w": w, "sigma_b": b, "q_star": mp.nstr(q, 20), "chi_1": mp.nstr(chi_1, 20)}
        rows.append(row | {"chi_q": mp.nstr(chi_q, 20), "one_minus_c_star": e, "chi_c": chi_c})
        print(rows[-1], flush=True)
    Path(__file__).with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
