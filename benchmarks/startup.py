"""How long the commands take that need no network: whole processes, median of ten.

python benchmarks/startup.py --record benchmarks/records/startup.csv
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from record import write_record

# Beside Python itself, started and stopped, which no command can be faster than.
COMMANDS = {
    "python": ["-c", "pass"],
    "semask --help": ["-m", "semask_cli", "--help"],
    "semask models": ["-m", "semask_cli", "models"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="write a CSV here")
    arguments = parser.parse_args()
    rows = []
    for name, command in COMMANDS.items():
        times = []
        for _ in range(11):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        rows.append({
            "command": name,
            "seconds": f"{statistics.median(times[1:]):.3f}",
            "fastest": f"{min(times):.3f}",
            "date": datetime.now(UTC).date().isoformat(),
        })  # fmt: skip
        print(rows[-1])
    write_record(arguments.record, rows)


if __name__ == "__main__":
    main()
