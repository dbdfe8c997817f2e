"""What several end-to-end tests start from."""

import pytest
import torch

from common.configuration.workflow import bundle_workflow
from tests.e2e.tiny import SMALL


@pytest.fixture(scope="module")
def checkpoint(bundle_root, tmp_path_factory):
    """Weights of an untrained tiny network, with a threshold that parts its features."""
    torch.manual_seed(0)
    workflow = bundle_workflow(
        bundle_root("adnet"), ["inference"], "infer", **SMALL["adnet"], device="cpu", checkpoint=None
    )
    weights = workflow.parser.get_parsed_content("network_def").state_dict()
    weights["threshold"].fill_(-18.0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(weights, path)
    return str(path)
