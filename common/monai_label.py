"""What a bundle asks of the MONAI Label server that runs it. Nothing of MONAI Label is imported."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Study:
    """A scan of the server and its label map: paths, and the label's values by name, in lower case."""

    name: str
    image: str
    label: str
    values: dict[str, int] = field(default_factory=dict)


def datastore() -> Any | None:
    """Return the datastore of the server that this process belongs to; None outside of a server."""
    # A training in the background is started as a program of its own: the app then lives in __main__.
    for module in ("monailabel.interfaces.utils.app", "__main__"):
        apps = getattr(sys.modules.get(module), "apps", None)
        if isinstance(apps, dict) and apps:
            return next(iter(apps.values())).datastore()
    return None


def labelled_studies(store: Any) -> list[Study]:
    """List the studies with a submitted (final) label, the newest label first."""
    # On a DICOM archive the datastore's own methods look for labels by other names; its local copy knows them all.
    local: Any = next((kind for kind in type(store).__mro__ if kind.__name__ == "LocalDatastore"), type(store))
    studies = []
    for name in local.get_labeled_images(store):
        label = str(local.get_label_uri(store, name, "final"))
        if not Path(label).is_file():  # just deleted, which the server notices some seconds later
            continue
        info = store.get_label_info(name, "final").get("label_info") or []
        values = {str(entry["name"]).lower(): int(entry["idx"]) for entry in info if "name" in entry and "idx" in entry}
        studies.append(Study(name, str(store.get_image_uri(name)), label, values))
    return sorted(studies, key=lambda study: Path(study.label).stat().st_mtime_ns, reverse=True)


def study_name(image: str, names: list[str]) -> str:
    """Find the study that an image file belongs to: the longest of the names that the file's name begins with."""
    file = Path(image).name
    fitting = [name for name in names if file == name or file.startswith(f"{name}.")]
    return max(fitting, key=len, default=file)


def training_items(store: Any) -> list[dict[str, str]]:
    """List every study, labelled or not, as items ``{"image": path, "subject": name}``."""
    return [{"image": str(store.get_image_uri(name)), "subject": name} for name in sorted(store.list_images())]
