"""Organ codes are those of SNOMED CT in DICOM's own tables."""

import pytest

from common.data.dicom.organs import _OTHER_NAMES, find_organ, parse_names
from common.errors import InputError


def test_other_names_lead_to_listed_ones():
    assert [name for name in _OTHER_NAMES if find_organ(name)[0].scheme_designator != "SCT"] == []


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
    organ, found = find_organ(name)
    assert (organ.scheme_designator, organ.value) == ("SCT", value)
    assert [modifier.meaning for modifier in found] == modifiers


def test_unknown_names_get_private_codes():
    code, modifiers = find_organ("foreground")
    assert (code.value, code.scheme_designator, code.meaning, modifiers) == (
        "FOREGROUND",
        "99FEWSHOT",
        "foreground",
        [],
    )
    long, longer = (find_organ(f"a very long name of a lesion{end}")[0].value for end in ("", " too"))
    assert long != longer and len(long) == len(longer) == 16
    assert find_organ("A very_long name of a lesion")[0].value == long
    assert find_organ("肿瘤")[0].value != find_organ("肝")[0].value


def test_names_on_the_command_line():
    assert parse_names("1=liver, 6 = left kidney") == {1: "liver", 6: "left kidney"}
    assert parse_names("") is None
    for text in ("liver", "1=", "x=liver", "1=liver,-2=spleen"):
        with pytest.raises(InputError, match='is not VALUE=NAME; write "1=liver,6=left kidney"'):
            parse_names(text)
