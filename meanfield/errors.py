"""The one exception that bad input raises."""


class InputError(ValueError):
    """An argument that the theory or the machine cannot serve.

    The message is one line: the argument, the value it had, and the remedy. The command line prints
    it as it stands and exits with code 2.

    >>> raise InputError("sigma_w=-1.0 must not be negative; give a standard deviation >= 0")
    Traceback (most recent call last):
    meanfield.errors.InputError: sigma_w=-1.0 must not be negative; give a standard deviation >= 0
    """
