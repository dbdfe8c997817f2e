"""The verb ``doctor``: what is installed, what is wrong with a dataset, and what a training on it would do."""

from __future__ import annotations

import os
import platform
import shutil
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import InputError, one_line
from .options import DEFAULT_BUNDLE, Bundle, Channel, Outside, Overlays, split_names


def doctor(
    data: Annotated[str | None, typer.Argument(help="Folder of scans to look at.")] = None,
    bundle: Bundle = DEFAULT_BUNDLE,
    config: Overlays = "",
    channel: Channel = None,
    allow_outside: Outside = False,
) -> None:
    """Say what is installed, what is wrong with a dataset, and what a training on it would do."""
    for line in _machine():
        print(line)
    if data is not None:
        found = _Dataset(data, channel, allow_outside)
        plan = _training(found, bundle, split_names(config), data)
        print(f"\n{data}: {found.describe()}")
        for fault in found.faults:
            print(f"  wrong: {fault}")
        for line in plan:
            print(line)
        if found.faults:
            raise SystemExit(1)


def _machine() -> list[str]:
    import monai
    import torch

    from ... import __version__
    from ...speed.precision import computes_in_bfloat16

    lines = [
        f"fewshot-bundles {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"MONAI {monai.__version__}"
    ]
    devices = [f"cuda:{number}, {torch.cuda.get_device_name(number)}" for number in range(torch.cuda.device_count())]
    device = torch.device("cuda" if devices else "cpu")
    narrow = "bfloat16" if computes_in_bfloat16("auto", device) else "float32"
    lines.append(f"devices: {'; '.join([*devices, 'cpu'])}; encoders compute in {narrow}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines.append(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {memory:.0f} GB of memory")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    lines.append(f"{free:.0f} GB free in {Path.cwd()}, where runs and prepared scans go")
    dicom = "yes" if find_spec("highdicom") else 'no; pip install "fewshot-bundles[dicom]"'
    lines.append(f"DICOM-SEG: {dicom}")
    return lines


class _Dataset:
    """Scans of a folder, each read with all checks; what cannot be used is a line in ``faults``."""

    def __init__(self, folder: str, channel: str | None, allow_outside: bool) -> None:
        from tqdm import tqdm

        from ...data import label_names, load_datalist

        self.faults: list[str] = []
        self.items: list[dict[str, Any]] = []
        self.organs: Counter[int] = Counter()
        self.names: dict[int, str] = {}
        self.shapes: list[tuple[int, ...]] = []
        self.spacings: list[tuple[float, ...]] = []
        self.looks_like_ct = False
        try:
            self.items = list(load_datalist(folder, channel=channel, allow_outside=allow_outside, look_into=False))
            self.names = {value: name for name, value in label_names(folder).items()}
        except InputError as error:
            self.faults.append(one_line(error))
        for item in tqdm(self.items, desc="reading scans", disable=None):
            try:
                self._read(item)
            except InputError as error:
                self.faults.append(one_line(error))

    def _read(self, item: dict[str, Any]) -> None:
        from ...data.fingerprint import HOUNSFIELD
        from ...data.reading import read_label, read_scan

        scan = read_scan(item["image"])
        self.shapes.append(tuple(scan.shape[1:]))
        self.spacings.append(tuple(scan.pixdim.tolist()))
        self.looks_like_ct |= float(scan.min()) < HOUNSFIELD
        if "label" in item:
            self.organs.update(int(value) for value in read_label(item["label"], scan).unique() if value > 0)

    def describe(self) -> str:
        """Say in words how many scans there are, of what size, and what is drawn on them."""
        labelled = sum("label" in item for item in self.items)
        parts = [f"{len(self.items)} scans, {labelled} with label maps"]
        if self.shapes:
            shapes = [" x ".join(map(str, ends)) for ends in (min(self.shapes), max(self.shapes))]
            spacings = [" x ".join(f"{size:.3g}" for size in ends) for ends in (min(self.spacings), max(self.spacings))]
            parts += [_span(shapes, "voxels"), _span(spacings, "mm")]
        if self.organs:
            names = {value: f"{value} {self.names.get(value, '')}".strip() for value in self.organs}
            drawn = ", ".join(f"{names[value]} in {number}" for value, number in sorted(self.organs.items()))
            parts.append(f"label values: {drawn} scans")
        return "; ".join(parts)


def _training(found: _Dataset, bundle: Path, config: list[str], data: str) -> list[str]:
    """Say what a training would do; that it cannot divide the scans is one more fault."""
    from ...configuration.workflow import bundle_folder, check_configuration, merged_config
    from ...data import split, training_items
    from .training import machine_overlays

    if not found.items:
        return []
    folder = bundle_folder(bundle)
    names = config or machine_overlays(None, folder)
    settings = merged_config(folder, ["train", *names])
    labelled = settings.get("train#dataset#labelled", settings["train"]["dataset"].get("labelled")) is True
    try:
        check_configuration(folder, ["train", *names], {})
        parts = split(found.items, settings["fold"], settings["challenge"], support_rule=settings["support_rule"])
        training_items(parts["train"], settings["excluded_labels"], labelled)
    except InputError as error:
        found.faults.append(one_line(error))
        return []
    episodes = settings["episodes_per_epoch"] * settings["max_epochs"]
    lines = [
        f"fewshot train --bundle {folder.name} --data {data}" + (f" --config {','.join(config)}" if config else ""),
        f"  trains {folder.name}, {'overlays ' + ', '.join(names) if names else 'as in the paper'}: {episodes} episodes"
        f" of {len(parts['train'])} scans",
        f"  keeps {len(parts['query'])} scans to validate, {len(parts['support'])} as their support, and "
        f"{len(parts['held_out'])} to follow the training without labels",
    ]
    if found.looks_like_ct and settings["intensity_window"] is None:
        lines.append(
            "  intensities look like CT in HU: set intensity_window=[-125,275], and the mean and deviation that "
            f"fewshot statistics --data {data} prints"
        )
    return lines


def _span(ends: list[str], unit: str) -> str:
    return f"{ends[0]} {unit}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]} {unit}"
