"""Which support a request to MONAI Label means: the newest submitted label, named studies, or a mask sent along."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from ...errors import InputError
from ..reading import holds_its_voxels, read_label, scan_shape
from .archive import fetch_labels, whole_label_map
from .organs import Answer, drawn_organs, fitting, named_alike, numbered, own_organs
from .requests import checked_request, listed, organ_name, organ_value, query_range, support_names, wants_confidence
from .server import Study, datastore, is_session, is_upload, labelled_studies, query_study, shortened, study_names

logger = logging.getLogger(__name__)

# What later transforms need of a request, by these keys.
SLICES = "request_slices"  # for ``QueryExtentd``
CONFIDENCE = "request_confidence"  # for ``ConfidenceAnswerd``


class StudySupportd(MapTransform):
    """Choose the support of a MONAI Label request; the first preprocessing transform, idle outside of a server.

    A request may hold ``support`` (ids of annotated studies, a list or separated by commas; several are several shots),
    ``label_name`` or ``label_value`` (the organ) and a file ``label`` (a mask drawn on the study ``support``, or on the
    query itself). Without any of them the newest submitted label is the support. Without an organ all that it holds are
    segmented. ``query_slices`` are the first and last slice on which they lie, protocol EP1; ``confidence`` asks for
    the confidence in place of the label map. The query is a study of the server, a file sent with the request, or the
    image of a session; nothing else is read.

    Writes ``support_files`` for ``LoadSupportd`` and ``result``, which MONAI Label returns to the client.

    Args:
        keys: key of the query image, still a path.
        bundle_root: the bundle's folder, whose metadata may name organs; None: no organ has a fixed value.
    """

    def __init__(self, keys: KeysCollection, bundle_root: str | None = None) -> None:
        super().__init__(keys)
        self.bundle_root = bundle_root

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Attach the support's files.

        Raises:
            InputError: no such study, no label in it, an organ that is unknown, not drawn or not named, a file outside
                of the studies, or an option that the server would fail on.
        """
        store = datastore()
        if store is None:
            return dict(data)
        d = checked_request(data)
        name, value = organ_name(data), organ_value(data)
        own = own_organs(self.bundle_root)
        d[SLICES], d[CONFIDENCE] = query_range(data), wants_confidence(data)
        asked = support_names(data.get("support"), study_names(store))
        for key in self.key_iterator(d):
            query = _query(store, d[key])
            d[key] = query.image
            if data.get("label") is not None:
                chosen = [_with_mask(store, asked, query, data["label"])]
            else:
                chosen = _chosen(store, asked, name)
            found = [drawn_organs(study, name, value, own) for study in chosen]
            found = named_alike(found, one=bool(name or value))
            organs = numbered(found, own)
            d["support_files"] = {
                "image": [study.image for study in chosen],
                "label": [study.label for study in chosen],
                "values": [{number: organs[organ] for organ, number in drawn.items()} for drawn in found],
            }
            d["result"] = Answer(organs, [study.name for study in chosen], own)
        return d


class ConfidenceAnswerd(MapTransform):
    """Answer with the confidence in place of the label map where a MONAI Label request asks for it.

    Args:
        keys: key of the label map; ``confidence`` is the largest foreground probability on the same grid.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data, the label map replaced where asked for."""
        d = dict(data)
        if d.get(CONFIDENCE):
            d.update(dict.fromkeys(self.key_iterator(d), d["confidence"]))
        return d


def _query(store: Any, image: Any) -> Study:
    """Return the scan to be segmented, its label still to be found; a request may name any path."""
    study = query_study(store, image) if isinstance(image, str) else None
    if study is None and is_upload(image):
        _check_upload("image", image)
    if study is None and (is_upload(image) or is_session(image)):
        study = Study(Path(image).name, image, "")
    if study is None:
        name = Path(image).name if isinstance(image, str) else image
        raise InputError(f"image: no study {shortened(name) or 'of that id'} on this server; give an id that it lists")
    return study


def _with_mask(store: Any, asked: list[str], query: Study, mask: Any) -> Study:
    if not is_upload(mask):
        raise InputError("label: send the mask as a file with the request, not as a path")
    _check_upload("label", mask)
    if len(asked) > 1:
        raise InputError(f"one mask was sent with {len(asked)} studies as support; name the one it is drawn on")
    if asked:
        return _readable(Study(asked[0], str(store.get_image_uri(asked[0])), mask))
    return _readable(replace(query, label=mask))


def _check_upload(key: str, path: str) -> None:
    """Refuse a file that names another one of the server's temporary folder as that of its voxels."""
    if not holds_its_voxels(path):
        raise InputError(f"{key}: the file that was sent holds no voxels but another file's name; send one file")


def _chosen(store: Any, asked: list[str], name: str) -> list[Study]:
    """Find the support among the labels that the server has, and else among those that its archive holds by now."""
    try:
        return _named(store, asked) if asked else [_newest(store, name)]
    except InputError:
        if not fetch_labels(store):
            raise
    return _named(store, asked) if asked else [_newest(store, name)]


def _named(store: Any, asked: list[str]) -> list[Study]:
    labelled = {study.name: study for study in labelled_studies(store)}
    missing = [name for name in asked if name not in labelled]
    if missing:
        raise InputError(
            f"study {listed(missing)} has no submitted label; labelled: {listed(list(labelled)) or 'none'}"
        )
    return [_readable(labelled[name]) for name in asked]


def _newest(store: Any, organ: str) -> Study:
    faults: list[str] = []
    known: set[str] = set()
    for study in labelled_studies(store):
        if not study.fault and organ and study.values and not fitting(study, organ):
            known.update(study.values)
            continue
        try:
            return _readable(study)
        except InputError as error:
            if not study.fault:  # or it is in the log already
                logger.warning("not the support: %s", error)
            faults.append(str(error))
    reason = faults[0] if faults else "no label was submitted yet"
    if known:
        reason = f"no submitted label holds {shortened(organ)}, only {listed(sorted(known))}"
    raise InputError(f"no support: {reason}; draw the organ in one study, one slice is enough, and submit it")


def _readable(study: Study) -> Study:
    """Return a study with the values in its label map, which may be anything: the server stores what it is sent."""
    if study.fault:
        raise InputError(f"the label of study {shortened(study.name)} cannot be used: {study.fault}")
    if study.label.endswith(".dcm"):
        study = replace(study, label=whole_label_map(study.label, study.image))
    label, scan = read_label(study.label), scan_shape(study.image)
    if scan is not None and sorted(label.shape[1:]) != sorted(scan):
        grid = tuple(label.shape[1:])
        raise InputError(f"label grid {grid} differs from {scan} of study {shortened(study.name)}; draw it on the scan")
    return replace(study, drawn=tuple(int(number) for number in label.unique() if number > 0))
