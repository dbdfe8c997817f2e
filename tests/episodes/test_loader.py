"""The episode stream: what a batch holds, who draws which episode, and where a run goes on."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import PrepareBatchExtraInput
from monai.handlers import CheckpointLoader, CheckpointSaver
from torch import nn

from common.episodes.loader import episode_seed
from common.errors import InputError
from tests.episodes.loaders import slice_loader

KEYS = ("image", "label", "support_image", "support_mask")
PLAIN = {"intensity_target": "none", "geometry_target": "none"}


@pytest.fixture
def loader(volumes):
    def make(**options):
        return slice_loader(volumes, **{"min_area": 20, **options})

    return make


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def episode(batch, row):
    return {key: value[row : row + 1] for key, value in batch.items()}


def slice_numbers(volumes, images):
    """Number of the stored slice that each image ``(B, 1, H, W)`` equals."""
    stored = torch.cat([volume["image"][0].permute(2, 0, 1) for volume in volumes])
    return [int((stored == image).all(-1).all(-1).nonzero().item()) for image in images]


def test_batch(loader):
    batch = next(iter(loader(batch_size=3)))
    assert tuple(batch) == KEYS
    assert batch["image"].shape == batch["label"].shape == (3, 1, 16, 20)
    assert batch["support_image"].shape == batch["support_mask"].shape == (3, 1, 1, 16, 20)
    assert all(value.dtype == torch.float32 and value.is_contiguous() for value in batch.values())
    assert set(torch.cat([batch["label"], batch["support_mask"][:, 0]]).unique().tolist()) == {0.0, 1.0}


def test_slices_and_masks_belong_together(loader, volumes):
    batch = loader(**PLAIN).episodes(range(300))
    query = slice_numbers(volumes, batch["image"])
    support = slice_numbers(volumes, batch["support_image"][:, 0])
    stored = torch.cat([volume["supervoxels"][0].permute(2, 0, 1) for volume in volumes])
    for row, numbers in enumerate(zip(query, support, strict=True)):
        masks = (batch["label"][row, 0], batch["support_mask"][row, 0, 0])
        names = {int(name) for n, mask in zip(numbers, masks, strict=True) for name in stored[n][mask.bool()].unique()}
        assert len(names) == 1 and 0 not in names
        for number, mask in zip(numbers, masks, strict=True):
            assert torch.equal(stored[number] == names.copy().pop(), mask.bool())
    # Neighbours in the list of a supervoxel: one slice apart but for supervoxel 3, which is on slices 0, 2 and 3.
    apart = Counter(abs(q - s) for q, s in zip(query, support, strict=True))
    assert set(apart) == {1, 2}
    assert all({q, s} == {6, 8} for q, s in zip(query, support, strict=True) if abs(q - s) == 2)
    # Roles are swapped half of the time: within four standard deviations.
    assert abs(sum(q < s for q, s in zip(query, support, strict=True)) - 150) < 35


@pytest.mark.parametrize(("probability", "query_is_later"), [(0.0, True), (1.0, False)])
def test_swap_probability(loader, volumes, probability, query_is_later):
    batch = loader(swap_probability=probability, **PLAIN).episodes(range(50))
    pairs = zip(
        slice_numbers(volumes, batch["image"]), slice_numbers(volumes, batch["support_image"][:, 0]), strict=True
    )
    assert all((query > support) == query_is_later for query, support in pairs)


@pytest.mark.parametrize("part", ["intensity", "geometry"])
@pytest.mark.parametrize(
    ("target", "query", "support"), [("one", 0.5, 0.5), ("query", 1, 0), ("both", 1, 1), ("none", 0, 0)]
)
def test_target(loader, part, target, query, support):
    """A changed slice differs from that of the loader without changes; the draws of slices are the same."""
    count = 200
    plain = loader(**PLAIN).episodes(range(count))
    changed = loader(**{**PLAIN, f"{part}_target": target}).episodes(range(count))
    is_changed = {key: (plain[key] != changed[key]).flatten(1).any(1) for key in KEYS}
    assert abs(is_changed["image"].float().mean() - query) < (0.15 if target == "one" else 1e-9)
    assert abs(is_changed["support_image"].float().mean() - support) < (0.15 if target == "one" else 1e-9)
    if target == "one":
        assert torch.equal(is_changed["image"], ~is_changed["support_image"])
    if part == "intensity":
        assert torch.equal(plain["label"], changed["label"])
        assert torch.equal(plain["support_mask"], changed["support_mask"])


def test_sides_of_intensity_and_geometry_are_independent(loader):
    count = 400
    plain = loader(**PLAIN).episodes(range(count))["image"]
    intensity = (loader(geometry_target="none").episodes(range(count))["image"] != plain).flatten(1).any(1)
    geometry = (loader(intensity_target="none").episodes(range(count))["image"] != plain).flatten(1).any(1)
    together = Counter(zip(intensity.tolist(), geometry.tolist(), strict=True))
    assert all(abs(together[key] - 100) < 35 for key in itertools.product([False, True], repeat=2))


def test_both_draws_differ(loader):
    """The same slice on both sides becomes two different images."""
    batch = loader(pairing="same", intensity_target="both", geometry_target="both").episodes(range(20))
    assert (batch["image"] != batch["support_image"][:, 0]).flatten(1).any(1).all()
    plain = loader(pairing="same", **PLAIN).episodes(range(20))
    assert torch.equal(plain["image"], plain["support_image"][:, 0])


def test_same_seed_same_bits(loader):
    assert equal(loader().episodes(range(8)), loader().episodes(range(8)))
    assert not equal(loader().episodes(range(8)), loader(seed=2022).episodes(range(8)))
    first, second = loader().episodes([0]), loader().episodes([1])
    assert not equal(first, second)


@pytest.mark.parametrize("targets", [{}, {"intensity_target": "both", "geometry_target": "both"}])
def test_a_batch_has_the_bits_of_its_episodes(loader, targets):
    source = loader(**targets)
    batch = source.episodes(range(10, 15))
    assert all(equal(episode(batch, row), source.episodes([10 + row])) for row in range(5))


@pytest.mark.parametrize(("world_size", "batch_size"), [(2, 1), (3, 2)])
def test_ranks_share_the_single_stream(loader, world_size, batch_size):
    options = {"episodes_per_epoch": 12, "batch_size": batch_size}
    single = [episode(b, row) for b in loader(episodes_per_epoch=12) for row in range(1)]
    ranks = [loader(rank=rank, world_size=world_size, **options) for rank in range(world_size)]
    assert {len(one) for one in ranks} == {12 // (world_size * batch_size)}
    for rank, one in enumerate(ranks):
        own = [episode(batch, row) for batch in one for row in range(batch_size)]
        assert all(equal(*pair) for pair in zip(own, single[rank::world_size], strict=True))
        assert int(one.state_dict()["episode"]) == 12


def test_epochs_go_on_and_are_whole_batches(loader):
    source = loader(episodes_per_epoch=5, batch_size=2)
    assert len(source) == 3
    batches = [*source, *source]
    assert all(equal(batch, source.episodes([2 * i, 2 * i + 1])) for i, batch in enumerate(batches))


def test_position_counts_what_was_handed_out(loader):
    source = loader(episodes_per_epoch=6)
    stream = iter(source)
    for number in range(1, 4):
        next(stream)
        assert source.state_dict() == {"episode": torch.tensor(number)}
    expected = loader().episodes([3])
    assert equal(next(iter(source)), expected)  # a run that was stopped and started again


def test_resume_in_mid_epoch(loader):
    source = loader(episodes_per_epoch=8, batch_size=2)
    for _ in itertools.islice(source, 3):
        pass
    resumed = loader(episodes_per_epoch=8, batch_size=2)
    resumed.load_state_dict(source.state_dict())
    assert equal(next(iter(resumed)), source.episodes([6, 7]))
    other = loader(batch_size=3, rank=1, world_size=4)  # more processes than before
    other.load_state_dict(source.state_dict())
    assert equal(next(iter(other)), source.episodes([9, 13, 17]))


def test_excluded_labels(loader, volumes):
    for volume in volumes:
        volume["label"] = torch.zeros_like(volume["image"])
    volumes[0]["label"][0, 5, 5, [1, 2]] = 3
    batch = loader(excluded_labels=[3], **PLAIN).episodes(range(200))
    found = {*slice_numbers(volumes, batch["image"]), *slice_numbers(volumes, batch["support_image"][:, 0])}
    assert not found & {1, 2} and found >= {0, 3, 4, 5}


def test_construction_reads_nothing(tmp_path):
    class Untouchable:
        def __len__(self):
            raise AssertionError

        def __getitem__(self, index):
            raise AssertionError

        def fill(self):
            raise AssertionError

    source = slice_loader(Untouchable(), pack_dir=tmp_path / "new")
    assert len(source) == 1000 and source.state_dict() == {"episode": torch.tensor(0)}
    assert not (tmp_path / "new").exists()


def test_disk_and_memory_agree(loader, tmp_path):
    on_disk, in_memory = loader(pack_dir=tmp_path, cache_bytes=0), loader(pack_dir=tmp_path / "unused")
    assert equal(on_disk.episodes(range(4)), in_memory.episodes(range(4)))
    assert len(list(tmp_path.iterdir())) == 1 and not (tmp_path / "unused").exists()


def test_a_pack_is_found_again_by_the_name_of_the_content(volumes, tmp_path):
    class Named(list):
        read, name = 0, "content"

        def __getitem__(self, index):
            self.read += 1
            return super().__getitem__(index)

        def key(self):
            return self.name

    options = {"pack_dir": tmp_path, "cache_bytes": 0, "min_area": 1}
    first, again, other = Named(volumes), Named(volumes), Named(volumes[::-1])
    other.name = "other content"
    batches = [slice_loader(dataset, **options).episodes(range(4)) for dataset in (first, again, other)]
    assert equal(batches[0], batches[1]) and not equal(batches[0], batches[2])
    assert first.read > len(volumes) and again.read == 1  # one look tells that they do not fit
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"intensity_target": "support"}, "intensity_target must be one of one, query, both, none, got 'support'"),
        ({"pairing": "distant"}, "pairing must be one of"),
        ({"min_area_rule": "second"}, "min_area_rule must be one of"),
        ({"batch_size": 0}, "must be 1 or more, got 0"),
        ({"swap_probability": 1.5}, "swap_probability must lie"),
        ({"rank": 1}, "both rank and world_size"),
        ({"rank": 2, "world_size": 2}, "got 2 of 2"),
    ],
)
def test_bad_options(loader, options, message):
    with pytest.raises(ValueError, match=message):
        loader(**options)


def test_no_candidates(loader):
    with pytest.raises(InputError, match="min_area is 200 pixels, the largest area on a usable slice is 90"):
        next(iter(loader(min_area=200)))


def test_seeds_are_spread():
    seeds = {episode_seed(seed, i, stream) for seed in range(10) for i in range(1000) for stream in range(2)}
    assert len({value % 2**32 for value in seeds}) > 19990  # a CPU generator uses the low half only
    bits = np.unpackbits(np.array([episode_seed(0, i) for i in range(4000)], np.uint64).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 0.004
    assert min(seeds) >= 0 and max(seeds) < 2**64


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, image, support_image, support_mask):
        return self.conv(torch.cat([image, support_image[:, 0], support_mask[:, 0]], 1))


def make_trainer(source, folder, handlers=(), max_epochs=1):
    torch.manual_seed(0)
    network = Toy()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    content = {"network": network, "optimizer": optimizer, "episodes": source}
    saver = CheckpointSaver(folder, content, save_interval=1, epoch_level=False)
    return content, SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=max_epochs,
        train_data_loader=source,
        network=network,
        optimizer=optimizer,
        loss_function=nn.BCEWithLogitsLoss(),
        prepare_batch=PrepareBatchExtraInput(["support_image", "support_mask"]),
        decollate=False,
        train_handlers=[saver, *handlers],
    )


def test_monai_trainer_trains_and_resumes(loader, tmp_path):
    source = loader(episodes_per_epoch=10, batch_size=2)
    content, trainer = make_trainer(source, tmp_path)
    trainer.run()
    assert trainer.state.iteration == 5 and source.state_dict() == {"episode": torch.tensor(10)}
    checkpoint = tmp_path / "checkpoint_iteration=3.pt"
    assert torch.load(checkpoint, weights_only=True)["episodes"] == {"episode": torch.tensor(6)}

    resumed = loader(episodes_per_epoch=4, batch_size=2)
    other, trainer = make_trainer(resumed, tmp_path / "resumed")
    CheckpointLoader(str(checkpoint), other).attach(trainer)
    trainer.run()
    assert trainer.state.iteration == 2 and resumed.state_dict() == {"episode": torch.tensor(10)}
    for one, two in zip(content["network"].parameters(), other["network"].parameters(), strict=True):
        assert torch.equal(one, two)
