"""Text of DICOM headers, in whatever character set, as the standard and common practice write it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

UTF8 = "ISO_IR 192"
# Multi-byte sets have a term with code extensions only; some devices write them without.
_MULTI_BYTE = ("58", "87", "149", "159")


def codecs_of(names: Sequence[str]) -> list[str]:
    """Return Python's codecs for the values of Specific Character Set.

    Args:
        names: defined terms, misspelt ones (``ISO-IR 100``), or names that programs use (``UTF-8``, ``latin1``).

    Returns:
        Without those that nobody knows.
    """
    return [codec for name in names if (codec := _codec(name.strip())) is not None]


def decoded(value: bytes, codecs: Sequence[str], is_name: bool) -> str | None:
    """Decode a value as its character sets say, else, where they are not those it was written in, as UTF-8.

    Args:
        value: as stored.
        codecs: of its dataset.
        is_name: a person's name, whose parts begin anew.

    Returns:
        None where neither gives a text.
    """
    from pydicom.charset import decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS

    value = value.rstrip(b"\0 ")
    default = not codecs or codecs[0] == "iso8859"
    if default and b"\x1b" not in value and not value.isascii():
        codecs = []  # the default set has no such letters
    if b"\x1b" in value:
        codecs = ["iso8859", *codecs]  # to which names in Japanese return between their parts
    if codecs:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                delimiters = {0x5E, 0x3D, *TEXT_VR_DELIMS} if is_name else TEXT_VR_DELIMS
                return str(decode_bytes(value, codecs, delimiters))
            except (UserWarning, UnicodeError, LookupError):
                pass
    for codec in ("utf-8", "latin-1") if default else ("utf-8",):
        try:
            return value.decode(codec)
        except UnicodeError:
            continue
    return None


def _codec(name: str) -> str | None:
    from pydicom.charset import python_encoding

    match = re.fullmatch(r"ISO.?(?:(2022).)?IR.?(\d+)", name, re.IGNORECASE)
    if match:
        extended = match[1] or match[2] in _MULTI_BYTE
        name = f"ISO 2022 IR {match[2]}" if extended else f"ISO_IR {match[2]}"
    if name in python_encoding:
        return str(python_encoding[name])
    try:
        b"".decode(name)
    except (LookupError, ValueError):
        return None
    return name
