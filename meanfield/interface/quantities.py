"""Symbol, units and long name of each quantity, for figures and files; declared here alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """The symbol is mathtext; units are "1" for a pure number, or "layers"."""

    symbol: str
    long_name: str
    units: str = "1"


QUANTITIES = {
    "sigma_w": Quantity(r"$\sigma_w$", "standard deviation of the weights, times the square root of fan_in"),
    "sigma_b": Quantity(r"$\sigma_b$", "standard deviation of the biases"),
    "gamma": Quantity(r"$\gamma$", "scale of a normalization"),
    "q": Quantity("$q$", "pre-activation variance"),
    "q_star": Quantity("$q^*$", "variance at the fixed point"),
    "c_star": Quantity("$c^*$", "correlation of two inputs at the fixed point"),
    "one_minus_c_star": Quantity("$1 - c^*$", "one minus the correlation at the fixed point"),
    "chi_1": Quantity(r"$\chi_1$", "perpendicular susceptibility: slope of the correlation map at c = 1"),
    "chi_1_minus_1": Quantity(r"$\chi_1 - 1$", "perpendicular susceptibility minus 1"),
    "chi_c": Quantity(r"$\chi_c$", "slope of the correlation map at c*"),
    "chi_q": Quantity(r"$\chi_q$", "parallel susceptibility: slope of the variance map at q*"),
    "xi_c": Quantity(r"$\xi_c$", "depth scale of the correlation, -1/ln chi_c", "layers"),
    "xi_q": Quantity(r"$\xi_q$", "depth scale of the variance, -1/ln |chi_q|", "layers"),
    "xi_grad": Quantity(r"$\xi_\nabla$", "depth scale of gradients, -1/ln chi_1; negative where they grow", "layers"),
    "phase": Quantity("phase", "phase of the network"),
    "status": Quantity("status", "how the iteration from q0 ended"),
    "q_error": Quantity(r"$\Delta q^*$", "bound on the error of q_star"),
    "all_q": Quantity("$q^*$", "every fixed point of the variance map, ascending"),
    "all_chi_q": Quantity(r"$\chi_q$", "slope of the variance map at every fixed point"),
    "layer": Quantity("$l$", "number of blocks passed; 0 is the input", "layers"),
    "q1": Quantity("$q_1$", "variance of the first input"),
    "q2": Quantity("$q_2$", "variance of the second input"),
    "c": Quantity("$c$", "correlation of the two inputs"),
    "one_minus_c": Quantity("$1 - c$", "one minus the correlation of the two inputs"),
    "chi": Quantity(r"$\chi$", "perpendicular susceptibility at q1"),
    "chi_relative": Quantity(r"$\chi q_1 / q_1'$", "factor of a relative difference, one block later"),
    "c_within": Quantity("$c$ within", "correlation of two members of an input"),
    "stable": Quantity("stable", "whether chi_q < 1"),
}


def symbol(name: str) -> str:
    """The symbol of a quantity; any other leaf is labelled by its path.

    >>> symbol("sigma_w"), symbol("rate")
    ('$\\\\sigma_w$', 'rate')
    """
    return QUANTITIES[name].symbol if name in QUANTITIES else name
