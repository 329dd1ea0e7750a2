"""The pixel decoders differ in their tensors, so that no file of one is taken for another's."""

from __future__ import annotations

import pytest

from tests.support.toy_networks import tiny_mask_classifier


def test_weights_of_fapn_and_msfapn_do_not_fit_each_other() -> None:
    fapn, msfapn = tiny_mask_classifier("swin-l-m2f-fapn"), tiny_mask_classifier("swin-l-m2f-msfapn")
    for one, other in ((fapn, msfapn), (msfapn, fapn)):
        with pytest.raises(RuntimeError, match="Missing key"):
            one.load_state_dict(other.state_dict(), strict=True)
