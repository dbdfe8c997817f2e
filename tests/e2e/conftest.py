"""A tiny labelled dataset on disk."""

import json

import pytest

from tests.e2e.tiny import save, scan

ORGANS = {"background": 0, "liver": 1, "spleen": 4}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    training = []
    for number in range(1, 7):
        image, label = scan(number)
        names = {"image": f"imagesTr/case_{number}.nii.gz", "label": f"labelsTr/case_{number}.nii.gz"}
        save(folder / names["image"], image)
        save(folder / names["label"], label)
        training.append(names)
    (folder / "dataset.json").write_text(json.dumps({"labels": ORGANS, "training": training}))
    return folder


@pytest.fixture(scope="session")
def options():
    """Turn settings into command-line overrides."""

    def convert(**settings):
        return [part for key, value in settings.items() for part in (f"--{key}", str(value))]

    return convert
