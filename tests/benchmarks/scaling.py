"""Cost against work: slices, organs, shots at inference, scans in training; ``python -m tests.benchmarks.scaling``.

ADNet with a small encoder, so that the largest case takes seconds on a CPU; growth is what counts here.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from common.configuration.workflow import bundle_workflow
from common.episodes import EpisodeAugmentation, EpisodeLoader, SlicePairs
from tests.benchmarks.data import query_with_support, smooth
from tests.benchmarks.inference import settle
from tests.benchmarks.measure import peak_bytes, seconds_of_episodes, status, take_turns

BUNDLE = Path(__file__).parents[2] / "bundles" / "adnet"
PLANE, DEPTH, SUPPORT_DEPTH, ROUNDS = (256, 256), 12, 26, 3
STUDIES = (10, 100, 1000)


def measure() -> dict[str, Any]:
    """One table for each kind of work; the support volume stays the same."""
    parser = bundle_workflow(BUNDLE, ["inference", "chaos_t2", "cpu"], kind="infer").parser
    network, inferer = (parser.get_parsed_content(name) for name in ("network", "inferer"))
    settle(network, query_with_support((*PLANE, DEPTH), 1))

    def segmented(values: tuple[int, ...], **fixed: int) -> list[dict[str, Any]]:
        name = next(name for name in ("depth", "organs", "shots") if name not in fixed)
        return [_segment(network, inferer, name, value, **{**fixed, name: value}) for value in values]

    with torch.no_grad():
        return {
            "slices": segmented((DEPTH, 2 * DEPTH, 4 * DEPTH, 8 * DEPTH), organs=1, shots=1),
            "organs": segmented((1, 4, 13), depth=DEPTH, shots=1),
            "shots": segmented((1, 5, 12), depth=DEPTH, organs=1),
            "studies": [_train(count) for count in STUDIES],
        }


def _segment(
    network: torch.nn.Module, inferer: Any, name: str, value: int, depth: int, organs: int, shots: int
) -> dict[str, Any]:
    query = query_with_support((*PLANE, depth), organs, shots, SUPPORT_DEPTH)
    inferer.shots = shots
    inferer.use_protocol("ep2")
    encoded: list[int] = []
    inferer.encode.tell = lambda done, number: encoded.append(number) if done == number else None
    with FlopCounterMode(display=False) as counter:
        inferer(query, network)
    inferer.encode.tell = lambda done, number: None
    memory = peak_bytes(lambda: inferer(query, network))
    seconds = take_turns({name: lambda: inferer(query, network)}, ROUNDS, warm_up=0)[name]
    return {
        name: value,
        "images": sum(encoded),
        "operations": counter.get_total_flops(),
        "seconds": seconds,
        "peak_bytes": memory,
    }


class Studies:
    """Prepared volumes that are made when asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        x, y = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
        self.supervoxels = (1 + x // 24 + 4 * (y // 24)).int().expand(20, -1, -1).movedim(0, -1)[None]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": smooth((96, 96, 20), seed=index)[0].cpu(), "supervoxels": self.supervoxels}


def _train(count: int) -> dict[str, Any]:
    """Draw episodes from slices on disk: what stays in memory, and what an episode takes."""
    with tempfile.TemporaryDirectory() as folder:
        before = status("RssAnon")
        loader = EpisodeLoader(
            Studies(count), SlicePairs(min_area=100), EpisodeAugmentation(), pack_dir=folder, cache_bytes=0
        )
        loader.episodes([0])
        held = status("RssAnon") - before
        seconds = seconds_of_episodes(loader)
        packed = sum(path.stat().st_size for path in Path(folder).rglob("*.npy"))
        return {"studies": count, "packed_bytes": packed, "held_bytes": held, "episode_seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(measure()))
