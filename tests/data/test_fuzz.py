"""Damaged files are read whole or refused in one line: no other error, no crash, no hang, no more than 1 GB."""

import numpy as np
import pytest

from common.data.reading import read_scan
from common.errors import InputError
from tests.data.mutants import mutate_file, mutate_series, read_all, sound_files, sound_series


def check(paths):
    faults, good, refused = read_all(paths)
    assert not faults, "\n".join(faults)
    assert good + refused == len(paths) and min(good, refused) > len(paths) // 20, (good, refused)


@pytest.mark.parametrize("count", [20, pytest.param(700, marks=pytest.mark.slow)])  # three in seven are NIfTI files
def test_files(tmp_path, count):
    (tmp_path / "sound").mkdir()
    sound, rng = sound_files(tmp_path / "sound"), np.random.default_rng(count)
    assert read_all(sound) == ([], len(sound), 0)
    check([mutate_file(sound[number % len(sound)], rng, tmp_path / str(number)) for number in range(count)])


@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_series(tmp_path, count):
    sound, rng = sound_series(tmp_path / "sound"), np.random.default_rng(count)
    sound = sound if count > 10 else sound[:-1]  # a process that decodes takes seconds to start
    assert read_all([tmp_path / "sound" / str(number) for number in range(len(sound))]) == ([], len(sound), 0)
    check([mutate_series(sound[number % len(sound)], rng, tmp_path / str(number)) for number in range(count)])


def test_every_flipped_bit_of_a_compressed_scan_is_found(tmp_path):
    """Of the stream and of its trailer: what is read after all is the scan, to the last voxel."""
    path = sound_files(tmp_path)[1]
    content, expected = path.read_bytes(), read_scan(path)
    passed, rng = 0, np.random.default_rng(0)
    bits = {*range(80), *range(8 * len(content) - 64, 8 * len(content)), *rng.integers(8 * len(content), size=300)}
    for bit in map(int, bits):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            scan = read_scan(path)
        except InputError as error:
            assert str(path) in str(error)
            continue
        # A bit that no voxel hangs on, such as the time in the gzip header.
        assert np.array_equal(scan, expected) and np.array_equal(scan.affine, expected.affine)
        assert bit < 8 * (len(content) - 8), "the trailer"
        passed += 1
    assert passed < len(bits) // 4
