"""What the library logs, in a node's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.impl.rcutils_logger import RcutilsLogger

_LIBRARY = logging.getLogger("segpoint")


class NodeLog(logging.Handler):
    """Passes on what the library says, which backend it took and how far a build is, say, to a node's logger.

    At the same level; which levels are shown is left to ROS. From any thread, until `close`.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger
        _LIBRARY.addHandler(self)
        _LIBRARY.setLevel(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._say(record.levelno, self.format(record))
        except Exception:  # noqa: BLE001  the library's work must not fail for a message that cannot be shown
            self.handleError(record)

    def _say(self, level: int, message: str) -> None:
        # A line for each: rclpy raises where one line logs now with this severity, now with that.
        if level >= logging.CRITICAL:
            self._logger.fatal(message)
        elif level >= logging.ERROR:
            self._logger.error(message)
        elif level >= logging.WARNING:
            self._logger.warning(message)
        elif level >= logging.INFO:
            self._logger.info(message)
        else:
            self._logger.debug(message)

    def close(self) -> None:
        """Pass on nothing more. A second call does nothing."""
        _LIBRARY.removeHandler(self)
        if not any(isinstance(handler, NodeLog) for handler in _LIBRARY.handlers):
            _LIBRARY.setLevel(logging.NOTSET)
        super().close()
