"""The node's parameters as documents: the README's table, and with ``--yaml`` what stands in config/segpoint.yaml.

python -m segpoint_ros.parameter_table --yaml > config/segpoint.yaml
"""

from __future__ import annotations

import json
import sys

from segpoint_ros.settings import DESCRIBED

YAML_HEAD = """\
# Every parameter at its default, as python -m segpoint_ros.parameter_table --yaml prints them.
# [start]: only given when the node starts. [configure]: read when it is configured. The others may change at work.
/**:
  ros__parameters:
"""


def markdown() -> str:
    """The README's table."""
    rows = [("parameter", "default", "unit", "range", "read", ""), ("---",) * 6]
    for each in DESCRIBED.values():
        allowed = ", ".join(filter(None, [each.allowed, each.limit]))
        rows.append(
            (f"`{each.name}`", f"`{json.dumps(each.default)}`", each.unit, allowed, each.read, each.description)
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def yaml() -> str:
    """A parameter file with every parameter at its default, and the first sentence of what it is."""
    lines = []
    path: list[str] = []
    for each in DESCRIBED.values():
        *groups, name = each.name.split(".")
        for depth, group in enumerate(groups):
            if groups[: depth + 1] != path[: depth + 1]:
                lines.append(f"{_indent(depth)}{group}:")
        path = groups
        told = each.description.partition(". ")[0].rstrip(".")
        told += f": {each.allowed}" if each.choices else f" ({each.unit})" if each.unit else ""
        told += "" if each.read == "live" else f" [{each.read}]"
        lines.append(f"{f'{_indent(len(path))}{name}: {json.dumps(each.default)}':<36}  # {told}")
    return YAML_HEAD + "\n".join(lines) + "\n"


def _indent(depth: int) -> str:
    return "  " * (depth + 2)


if __name__ == "__main__":
    sys.stdout.write(yaml() if "--yaml" in sys.argv[1:] else markdown())
