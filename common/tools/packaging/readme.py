"""Arrange a bundle's README by the sections that the model zoo's template has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files.checkpoints import read_weights

_USED = ("The method", "Memory and time")  # the README's sections that have a place of their own
_OUTSIDE = re.compile(r"^.*`docs/results\.md`.*\n", re.MULTILINE)  # of the project, not of a package


def arrange_readme(draft: Path) -> None:
    """Rewrite ``docs/README.md`` of a packaged bundle from itself, the metadata and the weights.

    Args:
        draft: the packaged bundle, with ``models/model.pt``.
    """
    readme = draft / "docs" / "README.md"
    metadata = json.loads((draft / "configs" / "metadata.json").read_text())
    state = read_weights(draft / "models" / "model.pt")
    numbers = sum(value.numel() for value in state.values() if value.is_floating_point())
    readme.write_text(_arranged(_OUTSIDE.sub("", readme.read_text()), metadata, numbers))


def _arranged(readme: str, metadata: Mapping[str, Any], parameters: int) -> str:
    head, *rest = re.split(r"^## ", readme, flags=re.MULTILINE)
    title, _, about = head.partition("\n")
    own = {name: text.strip("\n") for name, _, text in (section.partition("\n") for section in rest)}
    usage = [f"#### **{name}**\n\n{text}" for name, text in own.items() if name not in _USED and text]
    sections = {
        "Model Description": f"{about.strip()}\n\n{own.get('The method', '')}",
        "Data": _data(metadata),
        "Performance": _performance(metadata["eval_metrics"]),
        "Additional Usage Steps": "\n\n".join(usage),
        "System Configuration": f"{_system(metadata, parameters)}\n\n{own.get('Memory and time', '')}",
        "Limitations": f"Intended use: {metadata['intended_use']}.",
        "References": "\n".join(f"[{n}] {reference}" for n, reference in enumerate(metadata["references"], 1)),
    }
    shape = metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]
    top = f"{title}\n\n### **Authors**\n\n{metadata['authors']}\n\n"
    top += f"### **Tags**\n\nSegmentation, Few-shot, MR, CT, {len(shape)}D\n\n"
    body = "\n\n".join(f"## **{name}**\n\n{text.strip()}" for name, text in sections.items())
    return f"{top}{body}\n"


def _data(metadata: Mapping[str, Any]) -> str:
    (output,) = metadata["network_data_format"]["outputs"].values()
    organs = [f"{value} is {name}" for value, name in output["channel_def"].items() if int(value) > 0]
    answers = f" In MONAI Label {', '.join(organs)}." if organs != ["1 is foreground"] else ""
    return (
        f"{metadata['data_source']}.\n\n"
        f"Scans: {metadata['image_classes']} ({metadata['data_type']}). Annotations: {metadata['label_classes']}. "
        f"Answers: {metadata['pred_classes']}.{answers}\n\n"
        "#### **Preprocessing**\n\nNothing is prepared beforehand. The settings that the weights were trained with, "
        "spacing and intensities among them, are in `configs/train.yaml` and in `models/model.pt`."
    )


def _performance(scores: Mapping[str, float]) -> str:
    if not scores:
        return "No score was measured with this configuration."
    rows = "\n".join(f"| {name} | {value} |" for name, value in scores.items())
    return f"Scores of trainings with the configurations that their names say:\n\n| score | value |\n|---|---|\n{rows}"


def _system(metadata: Mapping[str, Any], parameters: int) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in metadata["required_packages_version"].items())
    return (
        f"The network has {parameters / 1e6:.2f} million parameters. It trains and segments on a CPU or a GPU, with "
        f"Python 3.10 or later, MONAI {metadata['monai_version']}, PyTorch {metadata['pytorch_version']}, "
        f"NumPy {metadata['numpy_version']}, {packages}."
    )
