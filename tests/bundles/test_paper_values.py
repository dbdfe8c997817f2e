"""What a paper's configuration is: every number of train.yaml and of overlays, as each about.yaml has it."""

from pathlib import Path

import pytest
import yaml

from common.configuration.workflow import merged_config
from tests.e2e.tiny import ABOUT

BUNDLES = Path(__file__).parents[2] / "bundles"
# Of each bundle, id: (value, source).
PAPERS = {bundle: about["numbers"] for bundle, about in ABOUT.items()}
# Of each data set, in every bundle: what the papers that use it do to its scans.
DATA = {
    "chaos_t2": {"challenge": "chaos", "axcodes": "ALS", "spacing": [1.25, 1.25, 7.7], "intensity_window": None},
    "mscmr": {"challenge": "mscmr", "axcodes": None, "spacing": [1.25, 1.25, 7.99], "intensity_window": None},
    "sabs": {"challenge": "sabs", "axcodes": "RAS", "spacing": [0, 0, 0], "intensity_window": [-125, 275]},
    "visceral": {"challenge": "visceral", "spacing": [0, 0, 0], "image_size": 512, "intensity_window": [-125, 275]},
}
SIZES = [
    (bundle, overlay, name, value)
    for bundle, about in ABOUT.items()
    for overlay, numbers in about.get("overlay_numbers", {}).items()
    for name, (value, _) in numbers.items()
]


def values(bundle, *overlays):
    merged = merged_config(BUNDLES / bundle, ["train", *overlays])
    return {**merged, "optimizer#momentum": merged["optimizer"].get("momentum")}


@pytest.mark.parametrize("overlays", [(), ("paper",), ("chaos_t2", "paper"), ("fast", "paper")], ids=" ".join)
@pytest.mark.parametrize("bundle", PAPERS)
def test_numbers_are_the_papers(bundle, overlays):
    found = values(bundle, *overlays)
    wrong = {name: (found.get(name), *entry) for name, entry in PAPERS[bundle].items() if found.get(name) != entry[0]}
    assert wrong == {}


@pytest.mark.parametrize("bundle", PAPERS)
def test_the_table_has_every_number(bundle):
    """What the table leaves out is named here: how a training runs, and choices that ablations and methods make."""
    free = {"seed", "val_interval", "save_interval", "rank", "cache_bytes", "shots", "fold", "spacing", "roi_size"}
    free |= {"supervoxel_compactness", "supervoxel_threshold", "min_voxels", "contrast", "brightness"}
    free |= {
        "intensity_probability",
        "gamma",
        "excluded_labels",
        "added_classes",
        "test_organs",
        "fold_organs",
        "overlap",
    }
    free |= {"supervoxel_min_size", "superpixel_threshold", "min_area"}
    content = yaml.safe_load((BUNDLES / bundle / "configs" / "train.yaml").read_text())
    numbers = {
        name
        for name, value in content.items()
        if isinstance(value, int | float | list) and not isinstance(value, bool) and name not in ("imports", "run")
    }
    assert numbers - free <= set(PAPERS[bundle])


@pytest.mark.parametrize("dataset", DATA)
@pytest.mark.parametrize("bundle", PAPERS)
def test_data_are_prepared_as_published(bundle, dataset):
    found = values(bundle, dataset)
    assert {name: found[name] for name in DATA[dataset]} == DATA[dataset]


@pytest.mark.parametrize(("bundle", "dataset", "name", "value"), SIZES)
def test_sizes_on_a_data_set(bundle, dataset, name, value):
    assert values(bundle, dataset, "paper")[name] == value
