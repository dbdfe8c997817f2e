"""What stored pixels mean, compressed or not."""

import os
import signal
import threading

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from common.data.dicom import codecs
from common.data.reading import read_scan
from tests.dicom.writer import values, write_series

STORED = values((8, 6, 3))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("bits", [12, 16])
def test_monochrome1_is_inverted(tmp_path, syntax, bits):
    def change(dataset, index):
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.BitsStored, dataset.HighBit = bits, bits - 1

    write_series(tmp_path, STORED, syntax=syntax, change=change)
    expected = (2**bits - 1 - STORED.astype(float)) * 2 - 1024
    np.testing.assert_array_equal(read_scan(tmp_path)[0].numpy(), expected)


def test_signed_monochrome1_is_inverted(tmp_path):
    def change(dataset, index):
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME1", 1

    signed = STORED.astype(np.int16) - 600
    write_series(tmp_path, signed.view(np.uint16), change=change)
    np.testing.assert_array_equal(read_scan(tmp_path)[0].numpy(), (-1.0 - signed) * 2 - 1024)


@pytest.mark.slow
def test_a_process_forked_while_slices_are_decoded_does_not_wait_for_ever(tmp_path):
    write_series(tmp_path, STORED, syntax=RLELossless)
    with codecs._locks.setdefault(os.getpid(), threading.Lock()):  # as a thread holds it that prepares the next scan
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os._exit(int(read_scan(tmp_path).shape != (1, *STORED.shape)))
        assert os.waitpid(child, 0)[1] == 0
