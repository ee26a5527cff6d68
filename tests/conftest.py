"""What every test relies on: no window system, quick compiling, and no files left under the user's home."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("MEANFIELD_CACHE", "off")
# Most of the suite's time XLA optimizes programs that run once. With 0 they are compiled as a user's are; so do the slow
# tests of .ci/run --slow.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
