"""Expectations under a Gaussian: quadrature rules with error estimates, and the activations they act on.

What lives here knows of numbers, densities and functions of one real variable. Widths, weights, layers and
networks live further down the house (`theory` first) and may not be imported from here.
"""
