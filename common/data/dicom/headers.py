"""Headers of a source series as a DICOM-SEG can take them over: legacy and de-identified values mended or emptied."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ...errors import InputError
from .characters import UTF8, codecs_of, decoded
from .parsing import quiet

# Attributes that a segmentation copies from its source and that may be empty but not absent.
_MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_TEXT = ("SH", "LO", "ST", "LT", "UC", "UT", "PN")
_ONE_TEXT = ("ST", "LT", "UT")  # a backslash in them is one
_PATIENT = 0x0010  # group of the attributes that describe a patient


@quiet()
def complete(slices: Sequence[Any], series: str | Path) -> list[str]:
    """Mend, in place, what a segmentation copies from its source and what it must refer to.

    Text becomes UTF-8. Dates, times, ages and codes in legacy forms and in those of common practice are written as the
    standard has them; what neither knows is emptied.

    Args:
        slices: pydicom headers of one series, not yet looked at.
        series: its folder, for messages.

    Returns:
        A line for what was emptied and one for what was made up.

    Raises:
        InputError: slices cannot be referred to.
    """
    emptied: dict[str, str] = {}
    for item in slices:
        emptied |= _in_utf8(item) | _mended(item)
        item.SOPClassUID = item.get("SOPClassUID") or item.file_meta.get("MediaStorageSOPClassUID")
        item.SOPInstanceUID = item.get("SOPInstanceUID") or item.file_meta.get("MediaStorageSOPInstanceUID")
        for name in _MAY_BE_EMPTY:
            item.setdefault(name, "")
    if not all(item.SOPClassUID and item.SOPInstanceUID for item in slices):
        raise InputError(f"{series}: slices without SOP Instance UID cannot be referred to; export the series again")
    lines = []
    if emptied:
        listed = ", ".join(f"{name} {value!r}" for name, value in emptied.items())
        lines.append(f"{series}: {listed} cannot be understood and is empty in the DICOM-SEG")
    derived = _derive_uids(slices)
    if derived:
        lines.append(f"{series}: {', '.join(derived)} empty; the DICOM-SEG has ones derived from the slices")
    return lines


def _derive_uids(slices: Sequence[Any]) -> list[str]:
    from pydicom.uid import generate_uid

    derived = []
    for name in _UIDS:
        if not slices[0].get(name):
            derived.append(name)
            uid = generate_uid(entropy_srcs=[name, *(str(item.SOPInstanceUID) for item in slices)])
            for item in slices:
                setattr(item, name, uid)
    return derived


def _in_utf8(item: Any) -> dict[str, str]:
    """Decode text, also in sequences; returns what had to be emptied."""
    emptied = {}
    for dataset, names in _nested(item, [""]):
        for tag in _public(dataset):
            raw = dataset.get_item(tag)
            vr = _vr(raw)
            if vr not in _TEXT or not isinstance(raw.value, bytes):
                continue
            text = decoded(raw.value, codecs_of(names), is_name=vr == "PN")
            several = text is not None and "\\" in text and vr not in _ONE_TEXT
            if text is None or (several and _keyword(tag) in _MAY_BE_EMPTY):
                emptied[_keyword(tag)] = raw.value.decode("ascii", "replace")
                text, several = "", False
            _put(dataset, tag, vr, text.split("\\") if several else text)
        if "SpecificCharacterSet" in dataset or dataset is item:
            dataset.SpecificCharacterSet = UTF8
    return emptied


def _nested(dataset: Any, names: list[str]) -> Iterator[tuple[Any, list[str]]]:
    """Give a dataset, those in its sequences and the character sets of each, inner ones first."""
    stored = dataset.get("SpecificCharacterSet")
    if stored is not None:
        names = [str(stored)] if isinstance(stored, str) else [str(part or "") for part in stored] or [""]
    for tag in _public(dataset):
        if _vr(dataset.get_item(tag)) == "SQ":
            for inner in dataset[tag].value:
                yield from _nested(inner, names)
    yield dataset, names


def _mended(item: Any) -> dict[str, str]:
    """Put dates, times and codes of patient and study into the standard's form; returns what had to be emptied."""
    emptied = {}
    for tag in _public(item):
        name = _keyword(tag)
        if tag.group != _PATIENT and name not in ("StudyDate", "StudyTime"):
            continue
        raw = item.get_item(tag)
        vr = _vr(raw)
        mend = _sex if name == "PatientSex" else _FORMS.get(vr)
        if mend is None or raw.value is None:
            continue
        text = raw.value.decode("ascii", "replace") if isinstance(raw.value, bytes) else str(raw.value)
        stripped = text.strip("\0 ")
        value = mend(stripped) if stripped else ""
        if value is None:
            emptied[name] = stripped
        _put(item, tag, vr, value or "")
    return emptied


def _date(text: str) -> str | None:
    match = re.fullmatch(r"(\d{4})([-./]?)(\d\d)\2(\d\d)", text)
    try:
        return date(int(match[1]), int(match[3]), int(match[4])).strftime("%Y%m%d").zfill(8) if match else None
    except ValueError:
        return None


def _time(text: str) -> str | None:
    match = re.fullmatch(r"([01]\d|2[0-3])(?:(:?)([0-5]\d)(?:\2([0-5]\d|60)(\.\d+)?)?)?", text)
    return "".join([match[1], match[3] or "", match[4] or "", (match[5] or "")[:7]]) if match else None


def _sex(text: str) -> str | None:
    words = {"MALE": "M", "FEMALE": "F", "OTHER": "O"}
    sex = words.get(text.upper(), text.upper())
    return sex if sex in words.values() else None


def _age(text: str) -> str | None:
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text.upper())
    return f"{int(match[1]):03}{match[2]}" if match else None


def _number(text: str) -> str | None:
    return text if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) and len(text) <= 16 else None


def _code(text: str) -> str | None:
    parts = text.upper().split("\\")
    return "\\".join(parts) if all(re.fullmatch(r"[A-Z0-9 _]{0,16}", part) for part in parts) else None


_FORMS: dict[str, Callable[[str], str | None]]
_FORMS = {"DA": _date, "TM": _time, "AS": _age, "DS": _number, "IS": _number, "CS": _code}


def _public(dataset: Any) -> list[Any]:
    return [tag for tag in list(dataset.keys()) if not tag.is_private]


def _keyword(tag: Any) -> str:
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag) or str(tag)


def _vr(raw: Any) -> str:
    from pydicom.datadict import dictionary_VR

    if raw.VR not in (None, "UN"):
        return str(raw.VR)
    try:
        return dictionary_VR(raw.tag)
    except KeyError:
        return "UN"


def _put(dataset: Any, tag: Any, vr: str, value: Any) -> None:
    """Store a value; one that is longer than the standard has it, such as an accession number, is kept."""
    from pydicom.dataelem import DataElement

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset[tag] = DataElement(tag, vr, value)
