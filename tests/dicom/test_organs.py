"""Organ codes are those of SNOMED CT in DICOM's own tables."""

import pytest
from pydicom.sr.codedict import codes

from common.dicom.organs import _MODIFIERS, _TABLE, find_organ, parse_names
from common.errors import InputError


def test_codes_and_meanings_are_in_dicoms_tables():
    listed = {}
    for name in codes.SCT.dir():
        code = getattr(codes.SCT, name)
        listed.setdefault(code.value, set()).add(name.lower())
    wanted = [(code, meaning) for meaning, code, _ in _TABLE] + list(_MODIFIERS.values())
    wrong = [meaning for code, meaning in wanted if meaning.lower().replace(" ", "") not in listed.get(code, set())]
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "value", "modifiers"),
    [
        ("liver", "10200004", []),
        ("Left Kidney", "64033007", ["Left"]),
        ("kidney_right", "64033007", ["Right"]),
        ("Lung, left", "39607008", ["Left"]),
        ("lungs", "39607008", []),
        ("LV blood pool", "87878005", []),
        ("left ventricle", "87878005", []),
        ("LV-myocardium", "49848007", []),
        ("heart_atrium_right", "73829009", []),
        ("anterior hippocampus", "5366008", ["Anterior"]),
        ("left posterior hippocampus", "5366008", ["Left", "Posterior"]),
        ("urinary_bladder", "89837001", []),
        ("postcava", "64131007", []),
    ],
)
def test_names_as_people_and_datasets_write_them(name, value, modifiers):
    organ = find_organ(name)
    assert (organ.scheme, organ.value) == ("SCT", value)
    assert [meaning for _, meaning in organ.modifiers] == modifiers


def test_unknown_names_get_private_codes():
    assert find_organ("foreground").scheme == "99FEWSHOT"
    assert find_organ("foreground").value == "FOREGROUND"
    long, longer = find_organ("a very long name of a lesion"), find_organ("a very long name of a lesion too")
    assert long.value != longer.value and len(long.value) == len(longer.value) == 16
    assert find_organ("A very_long name of a lesion").value == long.value
    assert find_organ("肿瘤").value != find_organ("肝").value


def test_names_on_the_command_line():
    assert parse_names("1=liver, 6 = left kidney") == {1: "liver", 6: "left kidney"}
    assert parse_names("") is None
    for text in ("liver", "1=", "x=liver", "1=liver,-2=spleen"):
        with pytest.raises(InputError, match='is not VALUE=NAME; write "1=liver,6=left kidney"'):
            parse_names(text)
