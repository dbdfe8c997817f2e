"""The preprocessing of the ADNet bundle on a real CHAOS scan."""

import numpy as np
import pytest
import torch
from monai.transforms import Compose, LoadImage

from common.configuration.workflow import bundle_workflow


@pytest.mark.real_data
def test_chaos_scan_is_prepared_and_brought_back(real_data, bundle_root):
    folder = real_data / "chaos_t2"
    parser = bundle_workflow(bundle_root("adnet"), ["train", "chaos_t2", "paper"], dataset_dir=str(folder)).parser
    split = parser.get_parsed_content("split")
    assert [item["subject"] for item in split["query"]] == ["chaos_01", "chaos_02", "chaos_03", "chaos_05"]
    assert [item["subject"] for item in split["support"]] == ["chaos_08"]
    assert len(split["train"]) == 15

    prepare = Compose(parser.get_parsed_content("prepare").steps)
    item = prepare(split["query"][0])
    assert item["image"].shape == item["label"].shape == (1, 256, 256, 37)
    assert float(item["image"].mean()) == pytest.approx(0, abs=1e-5)
    assert float(item["image"].std(unbiased=False)) == pytest.approx(1, abs=1e-4)
    assert item["label"].unique().tolist() == [0, 1, 2, 3, 4]

    stored = LoadImage(image_only=True, ensure_channel_first=True)(split["query"][0]["label"])
    back = prepare.inverse({"label": item["label"], "image": item["image"]})["label"]
    assert np.array_equal(back.as_tensor().round(), stored.as_tensor())
    torch.testing.assert_close(back.affine, stored.affine)
