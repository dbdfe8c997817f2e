"""Organ names and their SNOMED CT codes, as pydicom lists them."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import Any

from ...errors import InputError
from ..names import organ_words

PRIVATE_SCHEME = "99FEWSHOT"

# What datasets call organs that pydicom lists under another name.
_OTHER_NAMES = {
    "small bowel": "small intestine",
    "oesophagus": "esophagus",
    "adrenal": "adrenal gland",
    "suprarenal gland": "adrenal gland",
    "urinary bladder": "bladder",
    "ivc": "inferior vena cava",
    "postcava": "inferior vena cava",
    "svc": "superior vena cava",
    "thyroid gland": "thyroid",
    **dict.fromkeys(("lv", "lv bp", "lv blood pool", "left ventricle blood pool"), "left ventricle"),
    **dict.fromkeys(("rv", "rv bp", "rv blood pool", "right ventricle blood pool"), "right ventricle"),
    **dict.fromkeys(("lv myo", "lv myocardium", "myocardium", "heart myocardium"), "left ventricle myocardium"),
    "heart ventricle left": "left ventricle",
    "heart ventricle right": "right ventricle",
    "la": "left atrium",
    "heart atrium left": "left atrium",
    "ra": "right atrium",
    "heart atrium right": "right atrium",
}
_MODIFIERS = ("left", "right", "anterior", "posterior")


def find_organ(name: str) -> tuple[Any, list[Any]]:
    """Find the code of an organ by its English name, as datasets write it (``left_kidney``, ``Lung, right``).

    A name that is not in pydicom's list gets a code of the private scheme 99FEWSHOT: its letters and digits in capitals
    where they fit into 16 characters, else cut with a checksum. Equal names have equal codes.

    Args:
        name: the organ.

    Returns:
        pydicom's ``Code`` of the organ, and those of its modifiers, such as left.
    """
    from pydicom.sr.coding import Code

    words = organ_words(name)
    organ = _listed(words)
    if organ is not None:
        return organ, []
    rest = [word for word in words if word not in _MODIFIERS]
    organ = _listed(rest) or _listed([" ".join(rest).removesuffix("s")])
    if organ is not None:
        return organ, [_listed([word]) for word in words if word in _MODIFIERS]
    return Code(_private_code(" ".join(words) or name), PRIVATE_SCHEME, name.strip()[:64]), []


def parse_names(text: str, option: str = "--names") -> dict[int, str] | None:
    """Read ``1=liver,6=left kidney``; None for an empty text.

    Raises:
        InputError: a part is not VALUE=NAME, or a value has two names.
    """
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    wrong = [part for part in parts if not part[0].strip().isdecimal() or not part[2].strip()]
    if wrong:
        raise InputError(f'{option}: {"".join(wrong[0])!r} is not VALUE=NAME; write "1=liver,6=left kidney"')
    names = {int(value): name.strip() for value, _, name in parts}
    if len(names) < len(parts):
        raise InputError(f"{option}: {text!r} gives one value two names; name each value once")
    return names or None


def _listed(words: list[str]) -> Any:
    """Return pydicom's SNOMED CT code of a name; None where it lists none."""
    from pydicom.sr.codedict import codes

    name = " ".join(words)
    keyword = _keywords().get(_OTHER_NAMES.get(name, name).replace(" ", ""))
    return None if keyword is None else getattr(codes.SCT, keyword)


@cache
def _keywords() -> dict[str, str]:
    """pydicom's names of the SNOMED CT codes by their lower-case letters."""
    from pydicom.sr.codedict import codes

    return {keyword.lower(): keyword for keyword in codes.SCT.dir()}


def _private_code(name: str) -> str:
    letters = re.sub(r"[^A-Z0-9]", "", name.upper())
    if letters and len(letters) <= 16:
        return letters
    return letters[:8] + hashlib.sha256(name.encode()).hexdigest()[:8].upper()
