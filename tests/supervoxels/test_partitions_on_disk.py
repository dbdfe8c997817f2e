"""Reference partitions that cannot be part of the project because their images are scans.

Each ``felzenszwalb/*.npz`` under FEWSHOT_DATA holds ``image`` (Z, Y, X), ``scale``, ``sigma``, ``min_size``,
``spacing`` and ``labels``, the partition of the published algorithm with a stable sort.
"""

import numpy as np
import pytest

from common.supervoxels.graph import felzenszwalb_3d
from tests.supervoxels.oracle import felzenszwalb_oracle


@pytest.mark.real_data
@pytest.mark.parametrize("implementation", [felzenszwalb_3d, felzenszwalb_oracle], ids=["shipped", "oracle"])
def test_partition(real_data, implementation):
    files = sorted((real_data / "felzenszwalb").glob("*.npz"))
    if not files:
        pytest.skip(f"no reference partitions in {real_data / 'felzenszwalb'}: they were not compared")
    for path in files:
        case = np.load(path)
        settings = {key: case[key].item() for key in ("scale", "sigma", "min_size")}
        labels = implementation(case["image"], **settings, spacing=tuple(case["spacing"]))
        assert np.array_equal(labels.reshape(case["labels"].shape), case["labels"]), path.name
