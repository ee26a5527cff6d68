"""What every test relies on: no window system, and no files left under the user's home."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("MEANFIELD_CACHE", "off")
