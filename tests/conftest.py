"""What every test relies on: no window system, quick compiling, and no files left under the user's home."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("MEANFIELD_CACHE", "off")
# XLA optimizes programs that run once here for most of the time. With 0 they are compiled as a user's are, as the slow
# tests of .ci/run --slow do.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
