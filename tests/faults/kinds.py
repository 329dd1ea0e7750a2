"""The kinds of damage, by name."""

from tests.faults.case import Case
from tests.faults.checkpoints import checkpoint_case
from tests.faults.datasets import dataset_case
from tests.faults.images import image_case
from tests.faults.journals import journal_case
from tests.faults.runs import full_disk_case, kill_case, system_case

KINDS: dict[str, Case] = {
    "images": image_case,
    "checkpoints": checkpoint_case,
    "kills": kill_case,
    "system calls": system_case,
    "full disks": full_disk_case,
    "datasets": dataset_case,
    "journals": journal_case,
}
