"""The kinds of damage, by name."""

from tests.faults.case import Case
from tests.faults.checkpoints import checkpoint_case
from tests.faults.images import image_case

KINDS: dict[str, Case] = {"images": image_case, "checkpoints": checkpoint_case}
