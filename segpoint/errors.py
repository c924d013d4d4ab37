"""The one exception that bad input raises."""


class SegPointError(ValueError):
    """Input or set-up that cannot be used.

    The message is one line: what was expected, what came, and what to do about it.
    """
