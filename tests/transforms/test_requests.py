"""What a client of MONAI Label may ask for, request by request."""

import pytest

from common.data.monai_label.requests import (
    checked_request,
    organ_name,
    organ_value,
    query_range,
    support_names,
    wants_confidence,
)
from common.errors import InputError


def test_ids_with_commas_and_dollars():
    known = ["a", "b", "c,d", "$e"]
    for asked, names in (("a, b", ["a", "b"]), ("c,d", ["c,d"]), (["c,d", "$e"], ["c,d", "$e"]), ("a,$e", ["a", "$e"])):
        assert support_names(asked, known) == names
    assert support_names(None, known) == support_names("", known) == support_names([], known) == []
    for asked in (["a,b"], "x", ["a", 1], [None], {"a": 1}, 7, True, "$import os"):
        with pytest.raises(InputError, match="^support"):
            support_names(asked, known)


@pytest.mark.parametrize("value", [1.7, True, "1", "x", 1e300, 2**31, -1, [1], {"a": 1}, float("nan"), [[]]])
def test_a_label_value_is_a_whole_number(value):
    with pytest.raises(InputError, match="label_value is a whole number"):
        organ_value({"label_value": value})


def test_a_range_of_slices_is_two_whole_numbers():
    assert query_range({"query_slices": "10, 25"}) == query_range({"query_slices": [10, 25]}) == [10, 25]
    assert query_range({}) == query_range({"query_slices": ""}) == query_range({"query_slices": None}) == []
    for value in ("10", "1,2,3", "a,b", "5,-1", "25,10", [1.0, 2], [True, 2], [1], 7, {"a": 1}, [1, 10**30], "1,2,x"):
        with pytest.raises(InputError, match="query_slices are"):
            query_range({"query_slices": value})


def test_the_confidence_is_no_whole_number():
    assert wants_confidence({"confidence": True, "result_dtype": "float32"}) and wants_confidence({"confidence": True})
    assert not wants_confidence({}) and not wants_confidence({"confidence": False, "result_dtype": "uint8"})
    for request in ({"confidence": "yes"}, {"confidence": 1}, {"confidence": True, "result_dtype": "uint8"}):
        with pytest.raises(InputError, match="^confidence is"):
            wants_confidence(request)


def test_an_organ_is_a_text():
    assert organ_name({"label_name": " left  kidney\n"}) == "left kidney"
    assert organ_name({}) == organ_name({"label_name": None}) == ""
    assert organ_value({}) == organ_value({"label_value": None}) == 0
    for value in (["liver"], {"a": 1}, 5, True):
        with pytest.raises(InputError, match="label_name"):
            organ_name({"label_name": value})


def test_of_a_request_only_what_is_needed_goes_on():
    request = {"image": "x", "image_path": "/a/x.nrrd", "device": "cpu", "skip_writer": True, "latencies": 5, "pred": 1}
    assert checked_request(request) == {
        "image": "x",
        "image_path": "/a/x.nrrd",
        "device": "cpu",
        "result_extension": ".nrrd",
    }


@pytest.mark.parametrize(
    ("key", "value"), [("label_tag", ".."), ("result_extension", "/x"), ("result_dtype", "O"), ("x", "%y")]
)
def test_options_that_the_server_would_fail_on(key, value):
    with pytest.raises(InputError, match=key):
        checked_request({"image": "x", key: value})
