"""Which support a request to MONAI Label means: the newest submitted label, named studies, or a mask sent along."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.transforms import MapTransform

from ..data.reading import read_label
from ..errors import InputError
from ..monai_label import Study, datastore, labelled_studies, study_name


class StudySupportd(MapTransform):
    """Choose the support of a MONAI Label request; the first preprocessing transform, idle outside of a server.

    A request may hold ``support`` (ids of annotated studies, a list or separated by commas; several are several shots),
    ``label_name`` or ``label_value`` (the organ) and a file ``label`` (a mask drawn on the study ``support``, or on the
    query itself). Without any of them the newest submitted label is the support.

    Writes ``support_files`` for ``LoadSupportd`` and ``result``, which MONAI Label returns to the client.

    Args:
        keys: key of the query image, still a path.
        allow_missing_keys: skip if the query is absent.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Attach the support's files.

        Raises:
            InputError: no such study, no label in it, an organ that is unknown, not drawn or not named, a file outside
                of the studies, or a value that a configuration would evaluate.
        """
        d = dict(data)
        store = datastore()
        if store is None:
            return d
        _check_request(d)
        mask = d.pop("label", None)
        for key in self.key_iterator(d):
            _check_files(store, str(d[key]), mask)
            asked = _names(d.get("support"))
            organ = str(d.get("label_name") or "").strip().lower()
            value = _whole_number(d.get("label_value") or 0)
            if mask is not None:
                chosen = [_with_mask(store, asked, str(d[key]), str(mask))]
            elif asked:
                chosen = _named(store, asked)
            else:
                chosen = [_newest(store, organ)]
            organs = [_organ(study, organ, value) for study in chosen]
            d["support_files"] = {
                "image": [study.image for study in chosen],
                "label": [study.label for study in chosen],
                "values": [found for _, found in organs],
            }
            d["result"] = {"organ": organs[0][0], "support": [study.name for study in chosen]}
        return d


def _check_request(data: Mapping[Hashable, Any]) -> None:
    """Refuse what reads like an expression, a reference or a macro of a configuration, though nothing evaluates it."""
    for key, value in data.items():
        if isinstance(value, str) and value.startswith(("$", "@", "%")):
            raise InputError(f"{key}: the value {value[:40]!r} begins with {value[0]}; give a plain value")


def _check_files(store: Any, query: str, mask: Any) -> None:
    """Refuse files that are neither a study of the server nor an upload: a request may name any path."""
    name = study_name(query, store.list_images())
    if not _is_upload(query) and (not query or Path(query).resolve() != Path(store.get_image_uri(name)).resolve()):
        raise InputError(f"image: no study {name or 'of that id'} on this server; give an id that it lists")
    if mask is not None and not _is_upload(mask):
        raise InputError("label: send the mask as a file with the request, not as a path")


def _is_upload(path: Any) -> bool:
    return bool(path) and Path(path).resolve().parent == Path(tempfile.gettempdir()).resolve()


def _names(support: Any) -> list[str]:
    parts = support.split(",") if isinstance(support, str) else support or []
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise InputError(f"support is a study's id, or several as a list or separated by commas; got {support!r}")
    return [part.strip() for part in parts if part.strip()]


def _whole_number(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number < 0:
        raise InputError(f"label_value is a whole number from 1 up, got {value!r}")
    return number


def _with_mask(store: Any, asked: list[str], query: str, mask: str) -> Study:
    if len(asked) > 1:
        raise InputError(f"one mask was sent with {len(asked)} studies as support; name the one it is drawn on")
    if not asked:
        return Study(study_name(query, store.list_images()), query, mask)
    _check_known(store, asked)
    return Study(asked[0], str(store.get_image_uri(asked[0])), mask)


def _named(store: Any, asked: list[str]) -> list[Study]:
    _check_known(store, asked)
    labelled = {study.name: study for study in labelled_studies(store)}
    missing = [name for name in asked if name not in labelled]
    if missing:
        raise InputError(
            f"study {', '.join(missing)} has no submitted label; labelled: {', '.join(labelled) or 'none'}"
        )
    return [labelled[name] for name in asked]


def _check_known(store: Any, asked: list[str]) -> None:
    unknown = sorted(set(asked) - set(store.list_images()))
    if unknown:
        raise InputError(f"support: no study {', '.join(unknown)} on this server; give the ids that it lists")


def _newest(store: Any, organ: str) -> Study:
    studies = labelled_studies(store)
    fitting = [study for study in studies if not organ or not study.values or organ in study.values]
    if not fitting:
        known = sorted({name for study in studies for name in study.values})
        reason = (
            f"no submitted label holds {organ}, only {', '.join(known)}" if studies else "no label was submitted yet"
        )
        raise InputError(f"no support: {reason}; draw the organ in one study, one slice is enough, and submit it")
    return fitting[0]


def _organ(study: Study, organ: str, value: int) -> tuple[str, int]:
    """Find name and label value of the organ in a study's own label map."""
    drawn = [int(number) for number in read_label(study.label).unique() if number > 0]
    named = {name: number for name, number in study.values.items() if number in drawn}
    holds = ", ".join(named) or ", ".join(map(str, drawn)) or "nothing"
    if organ in named:
        return organ, named[organ]
    if organ and study.values:
        raise InputError(f"label_name {organ} is not drawn in {study.name}, which holds {holds}")
    if value and value not in drawn:
        raise InputError(f"label_value {value} is not drawn in {study.name}, which holds {holds}")
    if not organ and not value and len(named) == 1:
        return next(iter(named.items()))
    if not value and len(drawn) != 1:
        raise InputError(f"the label of {study.name} holds {holds}; choose one organ by label_name or label_value")
    value = value or drawn[0]
    return organ or next((name for name, number in named.items() if number == value), "foreground"), value
