"""Slice pairing of EP1, EP2 and k slices against the published rules."""

import pytest

from common.errors import InputError
from common.protocols import Protocol, named_protocol

BOUNDS = {1: [0, 0, 0, 1], 3: [0, 1, 2, 3], 5: [0, 1, 3, 5], 6: [0, 2, 4, 6], 7: [0, 2, 4, 7], 10: [0, 3, 6, 10]}
BOUNDS[13] = [0, 4, 8, 13]
SUPPORT_OF_THREE = {1: [0, 0, 0], 3: [0, 1, 2], 5: [0, 2, 4], 6: [1, 3, 5], 7: [1, 3, 5], 10: [1, 5, 8], 13: [2, 6, 10]}
SUPPORT_OF_ONE = {1: 0, 3: 1, 5: 2, 6: 3, 7: 3, 10: 5, 13: 6}


@pytest.mark.parametrize("count", BOUNDS)
def test_list_rule(count):
    ep1, ep2 = named_protocol("ep1"), named_protocol("ep2")
    labelled = list(range(40, 40 + count))
    assert ep1.support_slices(labelled) == [[40 + index] for index in SUPPORT_OF_THREE[count]]
    assert ep2.support_slices(labelled) == [[40 + SUPPORT_OF_ONE[count]]]
    chunks = ep1.query_chunks(60, labelled)
    bounds = BOUNDS[count]
    expected = [chunk for chunk in range(3) for _ in range(bounds[chunk + 1] - bounds[chunk])]
    assert chunks[40 : 40 + count] == expected
    assert set(chunks[:40] + chunks[40 + count :]) == {-1}
    assert ep2.query_chunks(4, None) == [0] * 4


def test_range_rule_differs_at_chunk_borders():
    extent = list(range(10, 21))
    by_range = named_protocol("ep1", chunk_rule="range")
    assert by_range.query_chunks(30, extent)[10:21] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert named_protocol("ep1").query_chunks(30, extent)[10:21] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert by_range.support_slices(extent) == [[11], [15], [19]]


def test_gap_slices_are_segmented_by_the_range_rule_only():
    assert named_protocol("ep1", chunk_rule="range").query_chunks(5, [1, 3]) == [-1, 0, 1, 2, -1]
    assert named_protocol("ep1").query_chunks(5, [1, 3]) == [-1, 1, -1, 2, -1]


def test_single_slice_organ_belongs_to_the_first_chunk_of_the_range():
    assert named_protocol("ep1", chunk_rule="range").query_chunks(3, [1]) == [-1, 0, -1]


def test_k_slices_cut_equally():
    protocol = named_protocol("k12", chunk_rule="range")
    support = [picks[0] for picks in protocol.support_slices(list(range(40)))]
    assert support == [1, 5, 8, 11, 15, 18, 21, 25, 28, 31, 35, 38]
    assert support != [1, 4, 7, 11, 14, 17, 21, 24, 27, 30, 33, 37]  # released SE-Net code
    chunks = protocol.query_chunks(50, list(range(10, 43)))
    expected = [0] * 3 + [1] * 3 + [2] * 3 + [3] * 2 + [4] * 3 + [5] * 3
    expected += [6] * 3 + [7] * 2 + [8] * 3 + [9] * 3 + [10] * 3 + [11] * 2
    assert chunks == [-1] * 10 + expected + [-1] * 7
    assert expected[9:12] != [3] * 3  # released SE-Net code
    assert named_protocol("k3").query_chunks(2, [0, 1]) == [0, 1]


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_shots_are_spread_over_the_extent(shots):
    slices = Protocol(chunks=1, shots=shots).support_slices(list(range(10)))
    assert slices == [{1: [5], 2: [2, 7], 5: [1, 3, 5, 7, 9]}[shots]]


def test_ep2_from_three_slices():
    protocol = named_protocol("ep2k3", shots=2)
    assert protocol.one_by_one and not protocol.within_extent
    assert protocol.support_slices(list(range(10, 20))) == [[11, 15, 18]]
    assert protocol.query_chunks(4, None) == [0, 0, 0, 0]


@pytest.mark.parametrize("name", ["ep1", "k12"])
def test_a_needed_range_that_is_unknown_is_refused(name):
    with pytest.raises(InputError, match=f"protocol {name} needs the query's organ range: give query_slices"):
        named_protocol(name).query_chunks(5, None)


def test_unknown_names_are_refused():
    for name in ("ep3", "k0", "k", "12", "ep2k", "ep2k0", "ep1k3"):
        with pytest.raises(InputError, match=f"ep1, ep2, k and a number such as k12, or .* such as ep2k3, got {name}"):
            named_protocol(name)
    with pytest.raises(InputError, match="chunk_rule"):
        Protocol(chunk_rule="other")
