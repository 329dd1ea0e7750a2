"""The figures are a function of the set of records: kills, resumes and several processes change not a bit."""

import json
import os
import random
import signal
import subprocess

import pytest

from tests.support.command_line import journal_lines, measured, start, start_shared, wait_for_lines

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
    assert "damaged lines in the journal: 2. Their images are evaluated again" in again.stderr
    assert f"{SAMPLES - 2} of {SAMPLES} images are in the journal already" in again.stderr


@pytest.mark.slow
def test_a_rank_that_dies_leaves_a_journal_that_any_number_of_processes_take_up(semask, command, tmp_path):
    alone = semask(*command).stdout
    semask(*command, "--limit", 1, "--fresh")
    process = start_shared(2, *command)
    wait_for_lines(process, tmp_path / "journal", 3)
    ranks = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
    assert len(ranks) == 2
    wait_for_lines(process, tmp_path / "journal", 20)
    os.kill(int(ranks[1]), signal.SIGKILL)
    assert process.wait() != 0
    assert journal_lines(tmp_path / "journal") < SAMPLES
    assert measured(semask(*command).stdout) == measured(alone)
    assert journal_lines(tmp_path / "journal") == SAMPLES + 1  # the first process alone writes
