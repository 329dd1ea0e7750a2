"""docs/speed.svg from benchmarks/records/rivals.csv: seconds and memory beside what else a user could pick.

python -m benchmarks.cpu.plot
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks" / "records" / "rivals.csv"
IMAGE = ROOT / "docs" / "speed.svg"
OURS, THEIRS = "#2a9d8f", "#b8bcc2"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    draw()


def draw() -> None:
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"font.size": 10, "svg.hashsalt": "semask", "svg.fonttype": "none"})
    with RECORD.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::-1]  # bars stand from the bottom up
    rows = [row for row in rows if row["cpu"] == rows[0]["cpu"]]  # the processor measured last
    names = [row["contender"] for row in rows]
    colours = [OURS if name.startswith("semask") else THEIRS for name in names]
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.42 * len(rows) + 0.6), sharey=True, layout="constrained")
    for axis, column, title in zip(axes, ("seconds", "peak_gib"), ("seconds", "peak memory, GiB"), strict=True):
        bars = axis.barh(names, [float(row[column]) for row in rows], color=colours)
        axis.bar_label(bars, [f"{float(row[column]):.2f}" for row in rows], padding=3)
        axis.set_title(title, loc="left")
        axis.margins(x=0.12)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.tick_params(left=False, bottom=False, labelbottom=False)
    what = f"{rows[0]['image']}, {rows[0]['threads']} threads, {rows[0]['cpu']}; float32 unless it says bf16"
    figure.suptitle(f"One image of {what}", x=0.01, ha="left")
    figure.savefig(IMAGE, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
