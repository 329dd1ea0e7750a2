"""How long the commands take that need no network: whole processes, median of ten.

python -m benchmarks.cpu.startup --record benchmarks/records/startup.csv
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.cpu.record import record_parser, write_record

# Beside Python itself, started and stopped, which no command can be faster than.
COMMANDS = {
    "python": ["-c", "pass"],
    "semask --help": ["-m", "semask_cli", "--help"],
    "semask models": ["-m", "semask_cli", "models"],
}


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    rows = []
    for name, command in COMMANDS.items():
        times = []
        for _ in range(arguments.repeats + 1):  # the first warms up
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
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
