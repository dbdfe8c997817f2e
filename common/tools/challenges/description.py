"""``dataset.json`` of a prepared dataset: organ names, folds, and for each scan the record of what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ...data.datalists import natural_key
from ...errors import InputError
from ...files.writing import write_json
from .base import Challenge
from .write import FOLDERS, Record, is_record


def read_records(output: Path, challenge: Challenge) -> dict[str, Record]:
    """Records by subject of the scans that an earlier call prepared.

    Args:
        output: folder of the dataset; it may be missing or empty.
        challenge: what is being prepared.

    Raises:
        InputError: the folder holds something else.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return {}
    try:
        preparation = json.loads((output / "dataset.json").read_text(encoding="utf-8"))["preparation"]
        name, records = preparation["challenge"], dict(preparation["scans"])
    except (OSError, ValueError, KeyError, TypeError):
        name, records = "", {}
    if name != challenge.name:
        raise InputError(f"{output}: exists and was not made by preparing {challenge.name}; choose another folder")
    for subject, record in records.items():
        if not is_record(record):
            raise InputError(f"{output / 'dataset.json'}: the record of {subject} is damaged; delete it, or the output")
    return records


def write_description(
    output: Path, challenge: Challenge, names: Mapping[str, int], records: Mapping[str, Record]
) -> int:
    """Write ``dataset.json`` in one step.

    Args:
        output: folder of the dataset.
        challenge: what was prepared.
        names: organ name to label value; empty: "organ 1" and so on as found.
        records: of all scans, by subject.

    Returns:
        The number of folds in it.
    """
    subjects = sorted(records, key=natural_key)
    labelled = [subject for subject in subjects if "label" in records[subject]["files"]]
    folds = [{"queries": list(fold.queries), "support": fold.support} for fold in challenge.folds(labelled)]
    found = {organ for subject in labelled for organ in records[subject]["volumes_ml"]}
    unnamed = {organ: int(organ.split()[-1]) for organ in sorted(found, key=natural_key)} if not names else {}
    description = {
        "name": challenge.title,
        "description": f"{challenge.title}: {challenge.preparation}",
        "reference": challenge.reference,
        "licence": challenge.licence,
        "tensorImageSize": "3D",
        "modality": {"0": challenge.modality},
        "labels": dict(names) or {"background": 0, **unnamed},
        "numTraining": len(subjects),
        "numTest": 0,
        "training": [
            {key: f"./{FOLDERS[key]}/{subject}.nii.gz" for key in records[subject]["files"]} for subject in subjects
        ],
        "test": [],
        "folds": folds,
        "preparation": {"challenge": challenge.name, "scans": {subject: records[subject] for subject in subjects}},
    }
    write_json(output / "dataset.json", description)
    return len(folds)
