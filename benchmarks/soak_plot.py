"""The picture of a soak: memory, the results' ages and the parameter service over minutes.

python benchmarks/soak_plot.py out/soak          # what soak.py does at its end: soak.png from soak.csv, events.json
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np


def draw(folder: Path) -> None:
    """FOLDER/soak.png from what `soak.py` wrote there."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with (folder / "soak.csv").open(newline="") as file:
        samples = list(csv.DictReader(file))
    happened = json.loads((folder / "events.json").read_text())
    figure, (memory, latency, service) = plt.subplots(3, 1, figsize=(11, 8), sharex=True, layout="constrained")
    minutes = [float(sample["s"]) / 60 for sample in samples]
    memory.plot(minutes, [float(sample["rss_mb"]) for sample in samples], lw=1.2)
    memory.set(
        ylabel="memory (MB)", ylim=(0, None), title="The node: a 30 Hz camera of 307,200 points, changing wishes"
    )
    when, age, work = np.array(happened["results"]).T
    latency.plot(when / 60, age, ".", ms=2, label="age of a result when it arrives")
    latency.plot(when / 60, work, ".", ms=2, label="processing time")
    latency.set(ylabel="seconds", ylim=(0, min(2.0, 1.1 * age.max())))
    latency.legend(loc="upper right", markerscale=4)
    asked, took = np.array(happened["service"]).T
    service.semilogy(asked / 60, 1e3 * took, ".", ms=2)
    service.axhline(200, color="0.6", lw=1)
    service.set(ylabel="parameter service (ms)", xlabel="minutes")
    for panel in (memory, latency, service):
        for at, what in happened["events"]:
            if what in ("deactivate", "killed"):
                panel.axvline(at / 60, color="tab:red" if what == "killed" else "0.85", lw=0.8, zorder=0)
        panel.grid(alpha=0.25)
    figure.savefig(folder / "soak.png", dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
