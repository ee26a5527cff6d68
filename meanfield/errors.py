"""The library's exception, and the way its messages quote an argument."""

from __future__ import annotations

from typing import Any


class InputError(ValueError):
    """An argument that the theory or the machine cannot serve.

    The message is one line: the argument, its value, and the remedy. The command line prints it as it is and exits with
    code 2.

    >>> raise InputError("sigma_w=-1.0 must not be negative; give a standard deviation >= 0")
    Traceback (most recent call last):
    meanfield.errors.InputError: sigma_w=-1.0 must not be negative; give a standard deviation >= 0
    """


def shown(name: str, value: Any) -> str:
    """An argument as quoted in messages: `name=value`, or an option of the command line as it was typed.

    >>> shown("width", -3), shown("--depth", "x")
    ('width=-3', "--depth 'x'")
    """
    text = " ".join(_text(value).split())
    text = text if len(text) <= 100 else f"{text[:97]}..."
    return f"{name} {text}" if name.startswith("-") else f"{name}={text}"


def _text(value: Any) -> str:
    """Its text, in characters that can be printed; an integer of thousands of digits has none in Python."""
    try:
        text = repr(value) if isinstance(value, (str, bytes)) else str(value)
    except Exception:  # a stranger's __str__ may raise anything
        text = f"a {type(value).__name__} that is too long or cannot be shown"
    return text.encode("utf-8", "backslashreplace").decode()
