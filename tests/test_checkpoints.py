"""Reading weights: whatever is wrong with a file is one line, and no damage passes."""

import logging

import pytest
import torch
from torch import nn

from common.errors import InputError
from common.files.checkpoints import load_weights, read_checkpoint, read_weights
from common.files.writing import write_state


@pytest.fixture
def network():
    return nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 2))


@pytest.fixture
def file(network, tmp_path):
    write_state(tmp_path / "model.pt", network.state_dict())
    return tmp_path / "model.pt"


@pytest.mark.parametrize("name", [None, "model", "network", "state_dict"])
def test_every_layout_that_holds_one_networks_weights(network, tmp_path, name):
    state = network.state_dict()
    torch.save(state if name is None else {name: state, "epoch": 3}, tmp_path / "weights.pt")
    other = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 2))
    load_weights(other, tmp_path / "weights.pt")
    assert torch.equal(other[0].weight, network[0].weight)


def test_a_flipped_bit_is_found_or_harmless(file):
    """Every byte in turn; where none of the values changed, padding between them was hit."""
    whole, state = file.read_bytes(), read_weights(file)
    missed = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        try:
            found = read_weights(file)
        except InputError as error:
            assert str(error).startswith(str(file)) and "\n" not in str(error)
            continue
        missed += 1
        assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state), place
    assert missed < len(whole)


@pytest.mark.parametrize("part", [0, 1, 100, 0.5, -1])
def test_a_cut_file_is_named(file, part):
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole)) if isinstance(part, float) else part])
    with pytest.raises(InputError, match=r"model\.pt is no checkpoint of plain weights, or damaged \(\d+ bytes\)"):
        read_checkpoint(file)


def test_what_is_no_checkpoint_of_this_network_is_named(network, tmp_path):
    path = tmp_path / "model.pt"
    with pytest.raises(FileNotFoundError, match=r"model\.pt; train first"):
        load_weights(network, path)
    with pytest.raises(InputError, match=f"{tmp_path} is a folder; give the file of weights"):
        load_weights(network, tmp_path)
    for content in (3, {}, [1], {"a": 1}):
        torch.save(content, path)
        with pytest.raises(InputError, match=r"model\.pt holds something else than one network's weights"):
            load_weights(network, path)
    torch.save(nn.Linear(3, 3).state_dict(), path)
    with pytest.raises(InputError, match=r"model\.pt: Error.* in loading state_dict") as error:
        load_weights(network, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_get_a_line(network, file, caplog, value):
    with torch.no_grad():
        network[1].bias[1] = value
    write_state(file, network.state_dict())
    with caplog.at_level(logging.WARNING):
        load_weights(network, file)
    (record,) = caplog.records
    assert f"{file}: 1 of 4 weights hold NaN or infinite values, 1.bias first" in record.message
