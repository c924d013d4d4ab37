"""What setup.cfg cannot say: the files for share/segpoint_ros, where ROS 2 and the default bundle are looked for."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup

PACKAGE = "segpoint_ros"
HERE = Path(__file__).resolve().parent


def share(folder: str) -> list[tuple[str, list[str]]]:
    """Every file below ``folder`` with the place under share/ that it is installed to."""
    places: dict[str, list[str]] = {}
    for path in sorted((HERE / folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            relative = path.relative_to(HERE)
            places.setdefault(f"share/{PACKAGE}/{relative.parent.as_posix()}", []).append(relative.as_posix())
    return list(places.items())


setup(
    python_requires=">=3.10,<3.13",  # here, because colcon fails to read it back from setup.cfg
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *share("launch"),
        *share("config"),
        *share("models"),
    ],
)
