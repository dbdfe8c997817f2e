"""docs/benchmarks.md from the numbers in docs/benchmarks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HEAD = """# Benchmarks

What the bundles cost on two kinds of machine, beside the naive flow and beside what the machine could do at most. This
page is written by `make bench` from the numbers in `docs/benchmarks`; what holds whatever the machine is tested by
counts in `tests/test_scaling.py`.

- *naive*: organ by organ, every pair of slices encoded anew; in training one episode per step, made and augmented by
  the host; all in float32.
- *float32*, *auto*: as shipped, with `--precision float32` and with the default precision.
- *plain*, *fast*: `train.yaml` alone and with `fast.yaml`.
- *floor*: the time that the floating-point operations alone would take at the rate of a large matrix product in
  bfloat16, the best of the whole run. The rate of a machine shared with others changes; ratios say more than seconds.

Times are medians (least to greatest) of rounds in which all that is compared takes turns.
"""
TITLES = {"cpu": "Without a GPU", "gpu": "With a GPU"}


def page(folder: Path) -> str:
    """Write the page for all machines with numbers in a folder."""
    parts = [HEAD]
    for name, title in TITLES.items():
        path = folder / f"{name}.json"
        results = json.loads(path.read_text()) if path.is_file() else {}
        if results:
            parts += [f"## {title}\n", _machine(results), *_sections(results)]
        else:
            parts += [f"## {title}\n", "Not measured: `make bench` on such a machine fills this in.\n"]
    return "\n".join(parts)


def _machine(results: dict[str, Any]) -> str:
    floors = [part["floor"] for part in results.values()]
    first = floors[0]
    rates = {name: [floor["operations_per_second"][name] / 1e9 for floor in floors] for name in ("float32", "bfloat16")}
    copies = [floor["bytes_per_second"] / 1e9 for floor in floors]
    return (
        f"{first['device']}, {first['threads']} threads, PyTorch {first['torch']}. Matrix product "
        f"{_range(rates['float32'])} GFLOP/s in float32 and {_range(rates['bfloat16'])} in bfloat16, copy "
        f"{_range(copies)} GB/s over the parts of this run.\n"
    )


def _sections(results: dict[str, Any]) -> Iterable[str]:
    inference = [part["found"] for name, part in results.items() if name.startswith("inference ")]
    training = [part["found"] for name, part in results.items() if name.startswith("training ")]
    rate = max(part["floor"]["operations_per_second"]["bfloat16"] for part in results.values())
    if inference:
        yield "### One volume under EP2\n"
        yield _inference(inference, rate)
    if training:
        yield "### Training\n"
        yield _training(training, rate)
    for name, title, section in (
        ("profile", "What a fast step of ADNet spends its time on", _profile),
        ("scaling", "Cost against work", _scaling),
        ("supervoxels", "Supervoxels", _supervoxels),
        ("startup", "Starting", _startup),
        ("viewer", "Answers in napari", _viewer),
    ):
        if name in results:
            yield f"### {title}\n"
            yield section(results[name]["found"])


def _inference(parts: Sequence[dict[str, Any]], rate: float) -> str:
    rows, notes = [], []
    for found in parts:
        seconds = found["seconds"]
        naive, exact, fast = (seconds[name]["median"] for name in ("naive", "float32, 4", "auto, 4"))
        floor = found["operations"] / rate
        rows.append(
            [
                f"{found['bundle']}, {_size(found['size'])}",
                _seconds(seconds["naive"]),
                _seconds(seconds["float32, 4"]),
                f"{naive / exact:.1f}",
                _seconds(seconds["auto, 4"]),
                f"{naive / fast:.1f}",
                _seconds(seconds["auto, 1"]),
                f"{fast / floor:.1f}",
                f"{_mega(found['peak_bytes']['float32, 4'])}, {_mega(found['peak_bytes']['auto, 4'])}",
            ]
        )
        notes.append(
            f"{found['bundle']}: {found['naive_pixels_that_differ']} pixels "
            f"({found['foreground']:.0%} are foreground), Dice {found['dice_of_precisions']:.3f}"
        )
    head = ["", "naive, 4 organs", "float32, 4 organs", "naive / float32", "auto, 4 organs", "naive / auto"]
    head += ["auto, 1 organ", "auto / floor", "peak MB, float32 and auto"]
    intro = (
        "Networks of the papers' size with random weights, and for ADNet a threshold that cuts the scan in two: masks "
        "with\nlong ragged borders, which agree least. Trained networks: [speed.md](speed.md).\n"
    )
    note = "Pixels of the masks that differ between naive and float32, and least Dice of float32 and auto: "
    return f"{intro}\n{_table(head, rows)}\n{note}{'; '.join(notes)}.\n"


def _training(parts: Sequence[dict[str, Any]], rate: float) -> str:
    rows = []
    for found in parts:
        rates = found["episodes_per_second"]
        most = rate / found["operations_per_episode"]
        fast = rates["fast"]["median"]
        share = found["episode_seconds_one_thread"]["median"] * rates["naive"]["median"]
        rows.append(
            [
                found["bundle"],
                *(f"{rates[name]['median']:.3g}" for name in ("naive", "plain", "fast, one episode")),
                f"{fast:.3g} ({found['episodes_per_step']['fast']} per step)",
                f"{fast / rates['naive']['median']:.1f}",
                f"{most / fast:.1f}",
                f"{_mega(found['peak_bytes']['plain'])}, {_mega(found['peak_bytes']['fast'])}",
                f"{1000 * found['episode_seconds_one_thread']['median']:.2f} ms, {share:.1%}",
            ]
        )
    head = ["episodes per second", "naive", "plain", "fast, one per step", "fast", "fast / naive", "floor / fast"]
    head += ["peak MB, plain and fast", "an episode drawn, one thread; share of a naive step"]
    return _table(head, rows)


def _profile(found: Sequence[dict[str, Any]]) -> str:
    rows = [[f"`{row['kernel'][:70]}`", f"{row['calls']:.0f}", f"{row['share']:.1%}"] for row in found]
    return _table(["kernel", "calls per step", "share"], rows)


def _scaling(found: dict[str, Any]) -> str:
    tables = []
    for name in ("slices", "organs", "shots"):
        key = "depth" if name == "slices" else name
        rows = [
            [
                str(row[key]),
                str(row["images"]),
                f"{row['operations'] / 1e9:.1f}",
                _seconds(row["seconds"]),
                _mega(row["peak_bytes"]),
            ]
            for row in found[name]
        ]
        tables.append(_table([name, "images encoded", "GFLOP", "seconds", "peak MB"], rows))
    rows = [
        [
            str(row["studies"]),
            _mega(row["packed_bytes"]),
            _mega(row["held_bytes"]),
            f"{1000 * row['episode_seconds']['median']:.2f} ms",
        ]
        for row in found["studies"]
    ]
    tables.append(_table(["training volumes", "slices on disk, MB", "held in memory, MB", "an episode"], rows))
    intro = "ADNet with the small encoder of `cpu.yaml`, 256 x 256 pixels.\n"
    return "\n".join([intro, *tables])


def _supervoxels(found: dict[str, Any]) -> str:
    first = found["growth"]["1"]["median"]
    rows = [[f"{n} times", _seconds(times), f"{times['median'] / first:.2f}"] for n, times in found["growth"].items()]
    growth = _table(["voxels", "seconds", "times the first"], rows)
    total = sum(found["stages"].values())
    stages = _table(
        ["stage, largest volume", "seconds", "share"],
        [[name, f"{seconds:.2f}", f"{seconds / total:.0%}"] for name, seconds in found["stages"].items()],
    )
    pool = found["pool"]
    return (
        f"3D Felzenszwalb, one thread; the largest volume has {_size(found['shape'])} voxels and takes "
        f"{_mega(found['peak_bytes'])} MB beside its {_mega(found['image_bytes'])}.\n\n{growth}\n{stages}\n"
        f"{pool['volumes']} small volumes prepared by {pool['processes']} processes in {pool['seconds']:.0f} s, "
        f"{pool['share_of_cores']:.0%} of what that many cores could do at the pace of one alone, start of the "
        "processes included.\n"
    )


def _startup(found: dict[str, Any]) -> str:
    rows = [[f"`{name}`", _seconds(times)] for name, times in found.items()]
    common, fewshot = (
        found[name]["median"] / found[base]["median"]
        for name, base in (("import common", "import monai"), ("fewshot --help", "import torch"))
    )
    return (
        f"{_table(['', 'seconds'], rows)}\n`import common` takes {common:.2f} of `import monai`, `fewshot --help` "
        f"{fewshot:.2f} of `import torch`.\n"
    )


def _viewer(found: dict[str, Any]) -> str:
    names = {
        "first": "first answer, nothing kept",
        "stroke": "after a stroke on the support",
        "organ": "another organ, drawn on another slice",
    }
    rows = [[names[name], _seconds(times)] for name, times in found["seconds"].items()]
    return (
        f"ADNet with the weights that come with it, support and scan of {_size(found['size'])}: preparing, encoding, "
        f"comparing and bringing back to the scan's grid.\n\n{_table(['', 'seconds'], rows)}"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _seconds(times: dict[str, float]) -> str:
    return f"{times['median']:.3g} ({times['min']:.3g} to {times['max']:.3g})"


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low} to {high}"


def _mega(size: float) -> str:
    return f"{size / 1e6:.0f}"


def _size(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
