"""Start a method: a bundle that works, a prototypical network, of which the author replaces the network."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...configuration.workflow import shipped_bundles
from ...errors import InputError
from ...files.writing import whole_folder

_TEMPLATE = Path(__file__).parent / "template"
_NOT_FOR_MONAI_LABEL = "deepedit|deepgrow|detection"  # words in a name that change what it does
_REFERENCE = (
    "Wang K, Liew JH, Zou Y, Zhou D, Feng J. PANet: few-shot image semantic segmentation with prototype alignment. "
    "ICCV 2019, 9197-9206. https://doi.org/10.1109/ICCV.2019.00929"
)


def new_method(name: str, title: str | None = None, bundles: Path = Path("bundles")) -> Path:
    """Make the bundle of a new method.

    What every bundle has alike, inference and the form of its metadata, is that of the project's first bundle.

    Args:
        name: of the folder, a Python identifier in lower case.
        title: name to show; None: ``name``.
        bundles: folder that gets it.

    Returns:
        The bundle's folder.

    Raises:
        InputError: a name that cannot be used or is there already.
    """
    title = title or name
    _check(name, title, bundles)
    like = shipped_bundles()[0]
    with whole_folder(bundles / name) as draft:
        for path in sorted(found for found in _TEMPLATE.rglob("*") if found.is_file()):
            target = draft / path.relative_to(_TEMPLATE)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8").replace("TITLE", title).replace("NAME", name)
            target.with_name(target.name.removesuffix(".txt")).write_text(text, encoding="utf-8")
        inference = (like / "configs/inference.yaml").read_text(encoding="utf-8")
        inference = re.sub("^# .*?:", f"# {title}:", inference, count=1).replace(f"/{like.name}/", f"/{name}/")
        (draft / "configs/inference.yaml").write_text(inference, encoding="utf-8")
        metadata = json.loads((like / "configs/metadata.json").read_text(encoding="utf-8"))
        (draft / "configs/metadata.json").write_text(_compact({**metadata, **_metadata(title)}), encoding="utf-8")
    return bundles / name


def _check(name: str, title: str, bundles: Path) -> None:
    if not (name.isidentifier() and name == name.lower() and name.isascii()) or keyword.iskeyword(name):
        raise InputError(f"{name!r} is no name for a bundle: small letters, digits and _, a letter first, as in my_net")
    if re.search(rf"{_NOT_FOR_MONAI_LABEL}|_v\d", name):
        raise InputError(
            f"{name!r} is no name for a bundle: MONAI Label and the model zoo read more into it; choose another"
        )
    if re.fullmatch(r"\w[\w +.-]*", title) is None:
        raise InputError(f"--title {title!r} has letters, digits, spaces and + . - _ only")
    if (bundles / name).exists() or name in [folder.name for folder in shipped_bundles()]:
        raise InputError(f"there is a bundle {name} already; choose another name")


def _metadata(title: str) -> dict[str, Any]:
    return {
        "name": f"{title} few-shot segmentation",
        "description": f"{title}: one prototype of the structure and one of all around it, trained without labels on "
        "superpixels of the user's own scans",
        "data_source": "The user's own unlabelled scans; a synthetic phantom is built in. See docs/data_license.txt",
        "eval_metrics": {},
        "references": [_REFERENCE],
    }


def _compact(metadata: Mapping[str, Any]) -> str:
    """Write JSON with a line for each key, and one for each input and output of the network."""
    formats = {
        side: ",\n      ".join(f"{json.dumps(name)}: {json.dumps(tensor)}" for name, tensor in tensors.items())
        for side, tensors in metadata["network_data_format"].items()
    }
    sides = ",\n    ".join(f"{json.dumps(side)}: {{\n      {text}}}" for side, text in formats.items())
    values = {key: json.dumps(value) for key, value in metadata.items()}
    values["network_data_format"] = f"{{\n    {sides}}}"
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {text}" for key, text in values.items()) + "\n}\n"
