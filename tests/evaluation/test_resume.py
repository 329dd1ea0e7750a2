"""The figures are a function of the set of records: kills and resumes change not a bit.

Several processes: test_machines.py.
"""

import json
import random
import signal

import pytest

from tests.support.command_line import journal_lines, measured, start, wait_for_lines

SAMPLES = 120


@pytest.fixture
def command(planted, tmp_path):
    root, masks = planted("cityscapes", "labelTrainIds", count=SAMPLES)
    return ("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--json", "--journal", tmp_path / "journal")


@pytest.mark.slow
def test_five_kills_at_random_moments_change_nothing(semask, command, tmp_path):
    whole = semask(*command).stdout
    semask(*command, "--limit", 1, "--fresh")
    moments = random.Random()
    for _ in range(5):
        before = journal_lines(tmp_path / "journal")
        wanted = moments.randint(before + 1, before + (SAMPLES - before) // 2)
        process = start(*command)
        wait_for_lines(process, tmp_path / "journal", wanted)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert before < journal_lines(tmp_path / "journal") < SAMPLES
    assert measured(semask(*command).stdout) == measured(whole)
    assert json.loads(whole)["pictures"] == SAMPLES


def test_damaged_lines_of_a_journal_are_said_and_their_images_evaluated_again(semask, command, tmp_path):
    whole = semask(*command).stdout
    file = tmp_path / "journal/rank-0.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[2] = b"null\n"
    lines[4] = lines[4].replace(b'"cells":[[', b'"cells":[[1')
    file.write_bytes(b"".join(lines))
    again = semask(*command)
    assert measured(again.stdout) == measured(whole)
    assert "damaged lines in the journal: 2; their images are evaluated again" in again.stderr
    assert f"{SAMPLES - 2} of {SAMPLES} images are already in the journal" in again.stderr
