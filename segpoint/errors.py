"""The one exception that bad input raises, and a kind of it after which a process is of no use."""


class SegPointError(ValueError):
    """Input or set-up that cannot be used.

    The message is one line: what was expected, what came, and what to do about it.
    """


class DeviceLost(SegPointError):
    """The GPU has failed, and this process cannot use it any more: only a new one can."""
