"""Items prepared ahead are those of MONAI's Dataset, in order, a bounded number at a time, errors at their turn."""

import threading
import time

import pytest
from monai.data import DataLoader, Dataset

from common.errors import InputError
from common.handlers.postprocessing import BackgroundPostprocessing
from common.speed.ahead import ReadAheadDataset


def test_items_are_those_of_the_plain_dataset_in_any_order():
    plain, ahead = Dataset(range(7), str), ReadAheadDataset(range(7), str)
    assert list(DataLoader(ahead, batch_size=None)) == list(DataLoader(plain, batch_size=None))
    assert [ahead[number] for number in (5, 0, 6, 6, -1)] == [plain[number] for number in (5, 0, 6, 6, -1)]


def test_next_items_are_prepared_while_the_present_one_is_used():
    started, last = set(), threading.Event()

    def prepare(number):
        started.add(number)
        if number == 2:
            last.set()
        return number

    dataset = ReadAheadDataset(range(10), prepare, ahead=2)
    assert dataset[0] == 0
    assert last.wait(timeout=60)
    assert started == {0, 1, 2}


def test_no_two_items_are_prepared_or_saved_at_once():
    """MONAI's transforms are not made for that, least of all while they are inverted."""
    busy, overlaps = threading.Lock(), []

    def work(item):
        overlaps.append(not busy.acquire(blocking=False))
        time.sleep(0.01)
        busy.release()
        return item

    dataset, saving = ReadAheadDataset(range(8), work, ahead=3), BackgroundPostprocessing(work)
    for item in dataset:
        saving(item)
    saving.wait()
    assert overlaps == [False] * 16


def test_an_error_comes_up_when_its_item_is_asked_for():
    def prepare(number):
        if number == 1:
            raise InputError("case_1.nii.gz: no image")
        return number

    dataset = ReadAheadDataset(range(3), prepare)
    assert dataset[0] == 0
    with pytest.raises(RuntimeError) as raised:  # MONAI wraps what a transform raises
        dataset[1]
    assert isinstance(raised.value.__cause__, InputError)
    assert dataset[2] == 2
