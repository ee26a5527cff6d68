"""Expectations under a Gaussian: quadrature rules with error estimates, and the activations they act on.

This room knows numbers, densities and functions of one real variable. Widths, weights, layers and networks live further
down the house (from `blocks` on) and may not be imported here.
"""
