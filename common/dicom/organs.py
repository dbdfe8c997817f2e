"""Organ names and their SNOMED CT codes, as DICOM's context groups of anatomic structures list them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ..errors import InputError

SNOMED_CT = "SCT"
PRIVATE_SCHEME = "99FEWSHOT"

# Name, SNOMED CT code, other names. Left, right, anterior and posterior are modifiers of any of them.
_TABLE = (
    ("Liver", "10200004", ()),
    ("Spleen", "78961009", ()),
    ("Kidney", "64033007", ()),
    ("Gallbladder", "28231008", ("gall bladder",)),
    ("Pancreas", "15776009", ()),
    ("Stomach", "69695003", ()),
    ("Duodenum", "38848004", ()),
    ("Small intestine", "30315005", ("small bowel",)),
    ("Colon", "71854001", ()),
    ("Rectum", "34402009", ()),
    ("Esophagus", "32849002", ("oesophagus",)),
    ("Adrenal gland", "23451007", ("adrenal", "suprarenal gland")),
    ("Bladder", "89837001", ("urinary bladder",)),
    ("Prostate", "41216001", ()),
    ("Uterus", "35039007", ()),
    ("Aorta", "15825003", ()),
    ("Inferior vena cava", "64131007", ("ivc", "postcava")),
    ("Superior vena cava", "48345005", ("svc",)),
    ("Portal vein", "32764006", ()),
    ("Splenic vein", "35819009", ()),
    ("Pulmonary artery", "81040000", ()),
    ("Lung", "39607008", ()),
    ("Trachea", "44567001", ()),
    ("Thyroid", "69748006", ("thyroid gland",)),
    ("Heart", "80891009", ()),
    (
        "Left ventricle",
        "87878005",
        ("lv", "lv bp", "lv blood pool", "left ventricle blood pool", "heart ventricle left"),
    ),
    ("Left Ventricle Myocardium", "49848007", ("lv myocardium", "lv myo", "myocardium", "heart myocardium")),
    (
        "Right ventricle",
        "53085002",
        ("rv", "rv bp", "rv blood pool", "right ventricle blood pool", "heart ventricle right"),
    ),
    ("Left atrium", "82471001", ("la", "heart atrium left")),
    ("Right atrium", "73829009", ("ra", "heart atrium right")),
    ("Brain", "12738006", ()),
    ("Brain stem", "119238007", ("brainstem",)),
    ("Hippocampus", "5366008", ()),
    ("Spinal cord", "2748008", ()),
    ("Femur", "71341001", ()),
    ("Vertebra", "51282000", ()),
)
_MODIFIERS = {
    "left": ("7771000", "Left"),
    "right": ("24028007", "Right"),
    "anterior": ("255549009", "Anterior"),
    "posterior": ("255551008", "Posterior"),
}
_CODES = {name.lower(): (code, meaning) for meaning, code, others in _TABLE for name in (meaning, *others)}


@dataclass(frozen=True)
class Organ:
    """Coded organ: value, meaning and scheme of its code, and (value, meaning) of SNOMED CT modifiers."""

    value: str
    meaning: str
    scheme: str
    modifiers: tuple[tuple[str, str], ...] = ()


def find_organ(name: str) -> Organ:
    """Find the code of an organ by its English name, as datasets write it (``left_kidney``, ``Lung, right``).

    A name that is not in the table gets a code of the private scheme 99FEWSHOT: its letters and digits in capitals
    where they fit into 16 characters, else cut with a checksum. Equal names have equal codes.

    Args:
        name: the organ.
    """
    words = re.findall(r"[a-z0-9]+", name.lower())
    if " ".join(words) in _CODES:
        return Organ(*_CODES[" ".join(words)], SNOMED_CT)
    rest = " ".join(word for word in words if word not in _MODIFIERS)
    rest = rest if rest in _CODES else rest.removesuffix("s")
    if rest in _CODES:
        return Organ(*_CODES[rest], SNOMED_CT, tuple(_MODIFIERS[word] for word in words if word in _MODIFIERS))
    return Organ(_private_code(" ".join(words) or name), name.strip()[:64], PRIVATE_SCHEME)


def parse_names(text: str) -> dict[int, str] | None:
    """Read ``1=liver,6=left kidney``; None for an empty text.

    Raises:
        InputError: a part is not VALUE=NAME.
    """
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    wrong = [part for part in parts if not part[0].strip().isdecimal() or not part[2].strip()]
    if wrong:
        raise InputError(f'--names: {"".join(wrong[0])!r} is not VALUE=NAME; write "1=liver,6=left kidney"')
    return {int(value): name.strip() for value, _, name in parts} or None


def _private_code(name: str) -> str:
    letters = re.sub(r"[^A-Z0-9]", "", name.upper())
    if letters and len(letters) <= 16:
        return letters
    return letters[:8] + hashlib.sha256(name.encode()).hexdigest()[:8].upper()
