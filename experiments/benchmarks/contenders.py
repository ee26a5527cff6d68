"""All contenders behind one interface: solve(activation, sigma_w, sigma_b) -> seconds, fields.

Each is timed on a grid of its own `size` (sigma_w points, sigma_b points): the fast ones on the whole diagram, the
slow ones on a thinned one that covers the same ranges, and the time is scaled by the number of points.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import activations
import direct_solver
import jax
import numpy as np

Fields = dict[str, np.ndarray]
Solve = Callable[[str, np.ndarray, np.ndarray], tuple[float, Fields]]
WHOLE = (300, 250)
DIRECT = {
    "series": ("direct, 64 nodes", WHOLE),
    "series, one piece": ("direct, 64 nodes, one piece", WHOLE),
    "tensor": ("direct, 64 x 64 nodes", (30, 25)),
}
EVERY_FIELD = "every field: those, all fixed points, statuses, error estimates, the critical line"
NAMES = ("tanh", "gelu", "selu", "hard_tanh", "erf")
FIELDS = ("q_star", "chi_1", "chi_q", "one_minus_c_star", "xi_c")


@dataclass(frozen=True)
class Contender:
    """One contender: its fields, its activations, and the grid on which it is timed."""

    name: str
    gives: str
    activations: tuple[str, ...]
    size: tuple[int, int]
    solve: Solve


class Missing(Exception):
    """A contender that cannot take part here; the message says why."""


def meanfield() -> Contender:
    """This library."""
    import meanfield as mf

    def solve(name: str, sigma_w: np.ndarray, sigma_b: np.ndarray) -> tuple[float, Fields]:
        start = time.perf_counter()
        found = mf.phase_diagram(name, sigma_w, sigma_b)
        return time.perf_counter() - start, {field: getattr(found, field) for field in FIELDS}

    return Contender("meanfield", EVERY_FIELD, NAMES, WHOLE, solve)


def direct(rule: str) -> Contender:
    """64 fixed Gauss-Hermite nodes and Newton's method in one jitted program; see direct_solver.py."""
    title, size = DIRECT[rule]

    def solve(name: str, sigma_w: np.ndarray, sigma_b: np.ndarray) -> tuple[float, Fields]:
        with jax.enable_x64(True):
            start = time.perf_counter()
            found = direct_solver.grid(activations.JAX[name], rule, sigma_w, sigma_b)
            jax.block_until_ready(found)
            return time.perf_counter() - start, {field: np.asarray(found[field]) for field in FIELDS}

    return Contender(title, "q* c* chi_1 chi_q chi_c, three xi", NAMES, size, solve)


def _pointwise(solve_point: Callable[[str, float, float], dict[str, float]]) -> Solve:
    def solve(name: str, sigma_w: np.ndarray, sigma_b: np.ndarray) -> tuple[float, Fields]:
        start = time.perf_counter()
        found = [[solve_point(name, w, b) for w in sigma_w] for b in sigma_b]
        seconds = time.perf_counter() - start
        keys = found[0][0]
        return seconds, {key: np.array([[point[key] for point in row] for row in found]) for key in keys}

    return solve


def scipy_way() -> Contender:
    """As in the papers' codes: `quad` and `dblquad` on infinite ranges, and iteration of both maps from q = 1, c = 0.5.

    At most 50 and 300 layers, stopped where a layer changes less than 1e-6; both from published code for tanh.
    """
    from scipy.integrate import dblquad, quad

    density = 1 / math.sqrt(2 * math.pi)

    def mean(f: Callable[[float], float], q: float) -> float:
        r = math.sqrt(q)
        return quad(lambda z: density * math.exp(-z * z / 2) * f(r * z), -np.inf, np.inf)[0]

    def pair_mean(f: Callable[[float], float], q: float, c: float) -> float:
        r, s = math.sqrt(q), math.sqrt(1 - c * c)

        def integrand(y: float, x: float) -> float:
            return density**2 * math.exp(-(x * x + y * y) / 2) * f(r * x) * f(r * (c * x + s * y))

        return dblquad(integrand, -np.inf, np.inf, -np.inf, np.inf)[0]

    def iterate(step: Callable[[float], float], x: float, limit: int) -> float:
        for _ in range(limit):
            x, last = step(x), x
            if abs(x - last) < 1e-6:
                break
        return x

    def point(name: str, sigma_w: float, sigma_b: float) -> dict[str, float]:
        phi, slope = activations.FLOATS[name]
        w, b = sigma_w**2, sigma_b**2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            q = iterate(lambda q: w * mean(lambda u: phi(u) ** 2, q) + b, 1.0, 50)
            c = iterate(lambda c: min((w * pair_mean(phi, q, c) + b) / q, 1.0), 0.5, 300)
            chi_1 = w * mean(lambda u: slope(u) ** 2, q)
            chi_c = w * pair_mean(slope, q, c)
        return {"q_star": q, "one_minus_c_star": 1 - c, "chi_1": chi_1, "xi_c": -1 / math.log(chi_c)}

    return Contender("SciPy quad, dblquad", "q* c* chi_1 xi_c", NAMES, (1, 1), _pointwise(point))


def anyinit() -> Contender:
    """AnyInit's one-dimensional moments: q* by the direct solver's steps on its E[phi^2] and log slope, and chi_q."""
    try:
        from anyinit import activation_profile
    except ImportError as error:
        raise Missing(f"anyinit is not installed ({error}): pip install anyinit==0.4.0") from error

    def point(name: str, sigma_w: float, sigma_b: float) -> dict[str, float]:
        profile, w, b = activation_profile(activations.ANYINIT[name]), sigma_w**2, sigma_b**2

        def look(q: float) -> tuple[float, float]:
            grown = w * profile.moments(0.0, q).m2
            return grown + b, grown * profile.local_slope(0.0, q) / q

        q = 1.0
        try:
            for _ in range(direct_solver.Q_STEPS):
                value, slope = look(q)
                q = max(q + (value - q) / (1 - slope), 1e-12) if slope < 1 else value
            return {"q_star": q, "chi_q": look(q)[1]}
        except ValueError:  # its integrate() on values that overflow
            return {"q_star": math.inf, "chi_q": math.nan}

    return Contender("AnyInit moments", "q* chi_q", tuple(activations.ANYINIT), (6, 4), _pointwise(point))


class NeuralTangents:
    """The process that runs neural_tangents_worker.py in an environment of its own, made on the first use."""

    PACKAGES = ("jax[cpu]==0.4.30", "neural-tangents==0.6.5", "numpy<2")

    def __init__(self, folder: Path) -> None:
        python = folder / "bin" / "python"
        if not python.exists():
            self._make(folder, python)
        worker = Path(__file__).with_name("neural_tangents_worker.py")
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [python, worker], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdin and self.process.stdout
        self.requests, self.answers = self.process.stdin, self.process.stdout
        self.versions = self._read(f"{worker.name} did not start; recreate its environment, or run it there by hand")

    def _make(self, folder: Path, python: Path) -> None:
        interpreter = shutil.which("python3.11")
        if interpreter is None:
            raise Missing("neural-tangents needs Python 3.11, and no python3.11 was found")
        for command in ([interpreter, "-m", "venv", folder], [python, "-m", "pip", "install", "-q", *self.PACKAGES]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise Missing(f"neural-tangents' environment could not be made: {last}")

    def _read(self, complaint: str) -> dict[str, Any]:
        line = self.answers.readline()
        if not line:
            raise Missing(f"neural-tangents: {complaint}")
        return json.loads(line)

    def ask(self, route: str, name: str, sigma_w: np.ndarray, sigma_b: np.ndarray) -> tuple[float, Fields]:
        """One request, timed by the worker around its jitted call."""
        request = {"route": route, "activation": name, "sigma_w": sigma_w.tolist(), "sigma_b": sigma_b.tolist()}
        print(json.dumps(request), file=self.requests, flush=True)
        answer = self._read("its worker stopped")
        return answer.pop("seconds"), {key: np.array(value) for key, value in answer.items()}

    def contenders(self) -> list[Contender]:
        """Its two routes; the numerical one for smooth activations, as its documentation recommends."""

        def on(route: str) -> Solve:
            return lambda *request: self.ask(route, *request)

        return [
            Contender("neural-tangents, closed", "q* c* chi_1 xi_c", ("erf",), WHOLE, on("closed")),
            Contender("neural-tangents, numerical", "q* c* chi_1 xi_c", ("tanh", "gelu"), (24, 10), on("numerical")),
        ]

    def versions_of_its_own(self) -> dict[str, str]:
        """neural-tangents and the JAX beside it."""
        return {"neural-tangents": self.versions["neural-tangents"], "its jax": self.versions["jax"]}

    def close(self) -> None:
        """End the worker."""
        self.requests.close()
        self.process.wait(timeout=60)


def versions() -> dict[str, str]:
    """The versions of the packages used in this process."""
    return {name: version(name) for name in ("jax", "jaxlib", "numpy", "scipy", "meanfield-jax")}
