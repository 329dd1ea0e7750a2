"""The long harness: `python -m tests.faults [--seed N] [KIND=COUNT ...]` prints a table of tried and failed.

With no kind named, all of them, as many as docs/reliability.md tells of.
"""

from __future__ import annotations

import argparse
import sys

from tests.faults.harness import run

COUNTS = {
    "images": 20_000,
    "checkpoints": 5_000,
    "datasets": 5_000,
    "journals": 1_500,
    "kills": 150,
    "system calls": 100,
    "full disks": 40,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND=COUNT")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    named = (each.partition("=") for each in arguments.kinds)
    counts = {kind: int(count) for kind, _, count in named} or COUNTS
    failed = 0
    print("| kind | tried | failed | outcomes |\n| --- | ---: | ---: | --- |")
    for kind, count in counts.items():
        tally = run(kind, count, seed=arguments.seed)
        outcomes = ", ".join(f"{n} {outcome}" for outcome, n in tally.outcomes.most_common())
        print(f"| {kind} | {tally.tried} | {len(tally.faults)} | {outcomes} |", flush=True)
        for number, fault in list(tally.faults.items())[:20]:
            print(f"  {kind} {number}: {fault}", file=sys.stderr)
        failed += len(tally.faults)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
