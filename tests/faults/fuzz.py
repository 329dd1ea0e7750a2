"""Coverage-guided fuzzing of the readers of checkpoints: `python -m tests.faults.fuzz [CORPUS] [libFuzzer's options]`.

Needs atheris (`pip install atheris`). It begins with the whole files and the attacks of the harness and keeps, in the
folder CORPUS, what reaches new code. An input fails if it runs anything, raises anything but CheckpointError, or takes
ten seconds or two gigabytes.
"""

from __future__ import annotations

import codecs
import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["semask_cli.checkpoints", "pickletools", "zipfile"]):
    import semask_cli.checkpoints.reading

from semask_cli.errors import CheckpointError
from tests.faults.case import Fault
from tests.faults.checkpoints import attacks, whole

LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=20000")
_RUNS_SOMETHING = ("exec", "compile", "import", "os.system", "os.mkdir", "subprocess.Popen", "socket.connect")


def main() -> None:
    corpus = Path(next((option for option in sys.argv[1:] if not option.startswith("-")), tempfile.mkdtemp()))
    for codec in ("cp437", "raw-unicode-escape"):  # of a zip's and a pickle's names: Python imports them on first use
        codecs.lookup(codec)
    corpus.mkdir(parents=True, exist_ok=True)
    _read(Path(corpus, "-"), whole()[0][1])  # what is imported on first use
    for number, data in enumerate([*(data for _, data, _ in whole()), *attacks(random.Random(0), Path("executed"))]):
        (corpus / f"seed-{number}").write_bytes(data)
    events: list[str] = []
    sys.addaudithook(lambda event, _: events.append(event) if event in _RUNS_SOMETHING else None)

    def one(data: bytes) -> None:
        events.clear()
        _read(file, data)
        if events:
            raise Fault(f"it did {events[0]}")

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file.bin")
        options = [option for option in sys.argv[1:] if option.startswith("-")]
        atheris.Setup([sys.argv[0], *LIMITS, *options, str(corpus)], one)
        atheris.Fuzz()


def _read(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        semask_cli.checkpoints.reading.read(file)
    except CheckpointError:
        pass
    finally:
        file.unlink()


if __name__ == "__main__":
    main()
