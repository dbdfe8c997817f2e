"""What a bundle asks of the MONAI Label server that runs it. Nothing of MONAI Label is imported."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .archive import segments, stored_segmentation

logger = logging.getLogger(__name__)

LARGEST_VALUE = 2**31 - 1


@dataclass(frozen=True)
class Study:
    """A scan of the server and its label map: paths, and the label's values by organ.

    An organ's name is in lower case, unless another of the same label differs from it in case alone. A label whose
    names and values cannot be used says why in ``fault``. ``drawn`` are the values in the label map, once it was read.
    """

    name: str
    image: str
    label: str
    values: dict[str, int] = field(default_factory=dict)
    fault: str = ""
    drawn: tuple[int, ...] = ()


def app() -> Any | None:
    """Return the app of the server that this process belongs to; None outside of a server."""
    # A training in the background is started as a program of its own: the app then lives in __main__.
    for module in ("monailabel.interfaces.utils.app", "__main__"):
        apps = getattr(sys.modules.get(module), "apps", None)
        if isinstance(apps, dict) and apps:
            return next(iter(apps.values()))
    return None


def datastore() -> Any | None:
    """Return the datastore of the server that this process belongs to; None outside of a server."""
    server = app()
    return None if server is None else server.datastore()


def study_names(store: Any) -> list[str]:
    """List the ids of the server's studies; one with a folder in it was made by a client and leads elsewhere."""
    return [name for name in store.list_images() if Path(name).name == name]


def training_items(store: Any) -> list[dict[str, str]]:
    """List every study, labelled or not, as items ``{"image": path, "subject": name}``."""
    return [{"image": str(store.get_image_uri(name)), "subject": name} for name in sorted(study_names(store))]


def labelled_names(store: Any) -> list[str]:
    """List the ids of the studies with a submitted (final) label, the newest label first."""
    return [name for name, _ in _labels(store)]


def labelled_studies(store: Any) -> list[Study]:
    """List the studies with a submitted (final) label, the newest label first; faulty labels are logged."""
    found = []
    for name, label in _labels(store):
        info = store.get_label_info(name, "final")
        if segmentation := stored_segmentation(label, info):
            label, info = segmentation, segments(segmentation)
        values, fault = label_values(info.get("label_info") if isinstance(info, dict) else info)
        if fault:
            logger.warning("the label of study %s is not used: %s", shortened(name), fault)
        found.append(Study(name, str(store.get_image_uri(name)), label, values, fault))
    return found


def label_values(info: Any) -> tuple[dict[str, int], str]:
    """Read the organs of a submitted label from its ``label_info``, which may be anything that JSON can say.

    Args:
        info: entries ``{"name": str, "idx": int}``; entries without either are left out, None is no entry.

    Returns:
        The label's values by organ, and what is wrong with the information, "" if nothing is.
    """
    if not isinstance(info or [], list) or not all(isinstance(entry, dict) for entry in info or []):
        return {}, "its label_info is not a list of entries with name and idx; submit it again"
    values: dict[str, int] = {}
    for entry in info or []:
        if "name" not in entry or "idx" not in entry:
            continue
        name, value = entry["name"], entry["idx"]
        if not isinstance(name, str) or not name.strip():
            return {}, "a name in its label_info is not a text; submit it again"
        if isinstance(value, str) and value.isdecimal() and len(value) < 12:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_VALUE:
            return (
                {},
                f"the idx of {shortened(name)} in its label_info is not a whole number from 0 up; submit it again",
            )
        if values.setdefault(" ".join(name.split()), value) != value:
            return {}, f"its label_info gives {shortened(name)} two values; submit it again"
    alike = Counter(name.lower() for name in values)
    return {name if alike[name.lower()] > 1 else name.lower(): value for name, value in values.items()}, ""


def query_study(store: Any, path: str) -> Study | None:
    """Find the study that a request's image is; None if the server has no such study.

    The file is the one that the datastore names: a request may hold any path, and on a DICOM archive the server passes
    on a temporary copy when it opens a study for the first time.
    """
    names = set(study_names(store))
    for call in _calls("monailabel.interfaces.app", "infer"):
        request, name = call.get("request"), call.get("image_id")
        if isinstance(request, Mapping) and request.get("image") == path and isinstance(name, str) and name in names:
            return Study(name, str(store.get_image_uri(name)), "")
    if not path or "\0" in path:
        return None
    local, real = _local(store), os.path.realpath(path)
    for name in names:
        own = str(local.get_image_uri(store, name))
        if own and os.path.realpath(own) == real:
            return Study(name, own, "")
    return None


def is_upload(path: Any) -> bool:
    """Tell whether a file was sent with a request that the server is answering now.

    The server writes it to its temporary folder and keeps its name only in variables of the function that answers.
    """
    calls = _calls("monailabel.endpoints.infer", "run_inference")
    return isinstance(path, str) and any(path in (call.get("image_file"), call.get("label_file")) for call in calls)


def is_session(path: Any) -> bool:
    """Tell whether a file or folder is the image of the session that a request names, and leads to nothing else."""
    server = app()
    sessions = server.sessions() if server is not None else None
    for call in _calls("monailabel.endpoints.infer", "run_inference"):
        name, session = call.get("session_id"), call.get("session")
        if not sessions or not isinstance(name, str) or session is None or session.image != path:
            continue
        folder = Path(sessions.store_path, name).resolve()  # a client can write the session's own note of its image
        files = (Path(path), *Path(path).rglob("*"))
        return Path(name).name == name and all(folder in file.resolve().parents for file in files)
    return False


def model_files(model: str) -> list[str]:
    """List the files of weights that a model of the server can be run with."""
    task = getattr(app(), "_infers", {}).get(model)
    return list((task.config().get("model_filename") if task is not None else None) or [])


def shortened(value: Any, length: int = 40) -> str:
    """Return a client's value for a message, on one line and not longer than need be."""
    text = " ".join(str(value).split())
    return text if len(text) <= length else f"{text[:length]}..."


def _labels(store: Any) -> list[tuple[str, str]]:
    """List the studies that have a label and its path, the newest first."""
    # On a DICOM archive the datastore's own methods look for labels by other names; its local copy knows them all.
    local = _local(store)
    found = []
    names = set(study_names(store))
    for name in filter(names.__contains__, local.get_labeled_images(store)):
        label = str(local.get_label_uri(store, name, "final"))
        try:
            found.append((os.stat(label).st_mtime_ns, name, label))
        except OSError:  # just deleted, which the server notices some seconds later
            continue
    return [(name, label) for _, name, label in sorted(found, key=lambda entry: entry[0], reverse=True)]


def _local(store: Any) -> Any:
    return next((kind for kind in type(store).__mro__ if kind.__name__ == "LocalDatastore"), type(store))


def _calls(module: str, function: str) -> Iterator[Mapping[str, Any]]:
    """Yield the variables of every call of a function of the server that has not returned yet, in any thread."""
    for top in sys._current_frames().values():
        for frame, _ in traceback.walk_stack(top):
            if frame.f_code.co_name == function and frame.f_globals.get("__name__") == module:
                yield frame.f_locals
