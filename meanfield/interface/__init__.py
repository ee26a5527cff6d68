"""What every public call passes through, and nothing of the theory.

Arguments are checked here, float64 is switched on here, and results are printed, labelled and written from here; so
are progress bars and devices. `names` is the one table of public names. Nothing in this room knows of Gaussians,
blocks or networks.
"""
