"""The one exception that bad input raises, and a kind of it after which a process is of no use."""


class SegPointError(ValueError):
    """Input or set-up that cannot be used.

    The message is one line: what was expected, what came, and what to do about it.
    """


def printable(text: str) -> str:
    """Text as a terminal may show it: control characters, also those that turn the direction, as escapes. What others
    wrote (a topic's name, an instruction, a path) could otherwise steer the terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class DeviceLost(SegPointError):
    """The GPU has failed, and this process cannot use it any more: only a new one can."""
