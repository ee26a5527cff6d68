"""Results as values of JSON. Loads neither JAX nor NumPy: the command line prints with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any


def to_jsonable(value: Any) -> Any:
    """A value of JSON: NaN is None, infinities are "inf" and "-inf", arrays are lists, statuses are their
    words, dataclasses their fields.

    >>> import numpy as np
    >>> to_jsonable({"xi_c": np.float64("inf"), "chi": np.array([np.nan, 1.5])})
    {'xi_c': 'inf', 'chi': [None, 1.5]}
    """
    if hasattr(value, "code") and hasattr(value, "words"):  # Status, Phase: codes that know their words
        return _said(value.words, to_jsonable(value.code))
    if dataclasses.is_dataclass(type(value)):
        return {field.name: to_jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_jsonable(item) for item in value]
    # NumPy's and JAX's scalars and arrays alike.
    if hasattr(value, "tolist"):
        return to_jsonable(value.tolist())
    if isinstance(value, float):
        return None if math.isnan(value) else value if math.isfinite(value) else f"{value:+}".lstrip("+")
    if isinstance(value, (bool, int)):
        return value
    return value if value is None else str(value)


def _said(words: Sequence[str], code: Any) -> Any:
    return [_said(words, item) for item in code] if isinstance(code, list) else words[int(code)]
