"""What a run has told so far: the lines of its ``log.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segpoint.files import reading

LOG = "log.jsonl"


def log_lines(run: Path) -> list[dict[str, Any]]:
    """A run's lines in their order, but those that a kill has torn; none where there is no log."""
    path = run / LOG
    if not path.is_file():
        return []
    with reading(path, "give the folder of a run"):
        text = path.read_text(encoding="utf-8")
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return [line for line in lines if isinstance(line, dict) and "time" in line]
