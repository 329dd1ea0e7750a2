"""How long whole processes take to start: commands that need no network, and two that do. The median of --repeats.

python -m benchmarks.cpu.startup --record benchmarks/records/startup.csv
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.cpu.record import record_parser, write_record
from semask_cli.io.resources import project_file

NEW = "NEW"  # stands for a folder that does not exist yet
IMAGE = min((project_file("demo") / "images").iterdir())

# Beside Python itself, started and stopped, which no command can be faster than, and torch, which predict cannot.
COMMANDS = {
    "python": ["-c", "pass"],
    "semask --help": ["-m", "semask_cli", "--help"],
    "semask models": ["-m", "semask_cli", "models"],
    "import torch": ["-c", "import torch"],
    **{
        f"semask predict, one image, {model}": ["-m", "semask_cli", "predict", str(IMAGE), "-m", model, "-o", NEW]
        for model in ("toy-street-fpn", "toy-street-m2f")
    },
}
# As an installed package is run, whose modules pip has compiled.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    rows = []
    for name, command in COMMANDS.items():
        times = []
        for _ in range(arguments.repeats + 1):  # the first warms up
            with tempfile.TemporaryDirectory() as folder:
                words = [f"{folder}/out" if word is NEW else word for word in command]
                start = time.perf_counter()
                subprocess.run([sys.executable, *words], check=True, capture_output=True, env=ENVIRONMENT)
                times.append(time.perf_counter() - start)
        rows.append({
            "command": name,
            "seconds": f"{statistics.median(times[1:]):.3f}",
            "fastest": f"{min(times):.3f}",
        })  # fmt: skip
        print(rows[-1])
    write_record(arguments.record, rows)


if __name__ == "__main__":
    main()
