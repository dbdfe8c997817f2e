"""``make demo``: segment a phantom with the weights that come with a bundle, train on phantoms, show the gain."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..configuration.workflow import bundle_workflow, label_free_overlays
from ..data import label_names, load_datalist, split
from ..errors import guard
from ..evaluation import dice_table
from ..files.checkpoints import SHIPPED
from ..files.literals import literal
from .case_picture import draw_case


def demo(
    bundle: Path,
    output_dir: Path,
    dataset_dir: str = "phantom",
    max_epochs: int | None = None,
    random_start: bool = False,
) -> None:
    """Segment one scan and score with the weights that come with the bundle, train, score again.

    Args:
        bundle: bundle folder.
        output_dir: weights, per-case results and the picture go here.
        dataset_dir: labelled dataset; the phantom is built in.
        max_epochs: length of the training; None: that of the overlays.
        random_start: begin with an untrained network instead, and train it with ``quick.yaml``; so too where no weights
            come with the bundle.
    """
    start = time.monotonic()
    random_start = random_start or not (bundle / SHIPPED).is_file()
    places = {
        "ckpt_dir": literal(output_dir / "models"),
        "cache_dir": literal(output_dir / "cache"),
        "dataset_dir": literal(dataset_dir),
    }
    data = ["phantom"] if dataset_dir == "phantom" else []
    method = label_free_overlays(bundle)
    overlays = [*data, "quick"] if random_start else [*method, "fast", *data, "cpu", "from_synthetic"]
    before, title = ("untrained", "untrained") if random_start else ("shipped", "as it comes")
    given = None if random_start else literal(bundle / SHIPPED)
    files = _first_files(dataset_dir)

    if not random_start:
        picture = _draw_first_query(bundle, output_dir / before, bundle / SHIPPED, dataset_dir, files)
        print(f"one scan, segmented by the weights that come with {bundle.name}: {picture}", flush=True)
    scoring = ["train", *(overlays if random_start else method), "evaluate"]  # shipped weights bring their settings
    places_before: dict[str, Any] = {**places, "checkpoint": given, "output_dir": literal(output_dir / before)}
    first = bundle_workflow(bundle, scoring, **places_before)
    first.run()
    settings: dict[str, Any] = {**places, "output_dir": literal(output_dir / "training")}
    if max_epochs is not None:
        settings["max_epochs"] = max_epochs
    bundle_workflow(bundle, ["train", *overlays], **settings).run()
    trained = bundle_workflow(
        bundle, ["train", *overlays, "evaluate"], **places, output_dir=literal(output_dir / "trained")
    )
    trained.run()

    picture = _draw_first_query(bundle, output_dir, output_dir / "models" / "model.pt", dataset_dir, files)
    print(f"\n{bundle.name} on held-out subjects of {dataset_dir}, mean Dice; the support is never in training")
    for name, workflow in ((title, first), ("trained", trained)):
        print(dice_table(workflow.parser.get_parsed_content("cases").rows, name))
    print(f"overlay of one segmented scan: {picture}")
    print(f"{(time.monotonic() - start) / 60:.1f} minutes")
    print("\nNext, as it stands:")
    for command in _next_commands(bundle, output_dir, files, list(dict.fromkeys([*method, *overlays]))):
        print(f"  {shlex.join(command)}")


def _first_files(dataset_dir: str) -> dict[str, str]:
    """Name the support of fold 0 and its first query."""
    parts = split(load_datalist(dataset_dir), fold=0)
    support, query = parts["support"][0], parts["query"][0]
    names = {"support_image": support["image"], "support_label": support["label"]}
    return {**names, "image": query["image"], "label": query["label"]}


def _next_commands(bundle: Path, output_dir: Path, files: Mapping[str, str], shown: Sequence[str]) -> list[list[str]]:
    """Give the commands that segment a scan with the model, and that draw the supervoxels of that scan."""
    beside = Path(sys.executable).with_name("fewshot")  # where the environment has put it
    program = os.path.relpath(beside) if beside.is_file() else "fewshot"
    names = ("support_image", "support_label", "image")
    options = [part for name in names for part in (f"--{name.replace('_', '-')}", files[name])]
    model = ["--checkpoint", str(output_dir / "models" / "model.pt"), "--output-dir", str(output_dir / "segmented")]
    picture = ["--image", files["image"], "--output", str(output_dir / "supervoxels.png"), "--config", ",".join(shown)]
    chosen = ["--bundle", str(bundle)]
    return [
        [program, "segment", *chosen, *model, *options, "--preview"],
        [program, "supervoxels", "preview", *chosen, *picture],
    ]


def _draw_first_query(
    bundle: Path, output_dir: Path, checkpoint: Path, dataset_dir: str, files: Mapping[str, str]
) -> Path:
    places = {"checkpoint": checkpoint, "output_dir": output_dir / "predictions"}
    scans = {name: [files[name]] for name in ("support_image", "support_label", "image")}
    bundle_workflow(
        bundle, ["inference"], "infer", **{key: literal(value) for key, value in (places | scans).items()}
    ).run()
    name = Path(files["image"]).name.split(".nii")[0]
    prediction = output_dir / "predictions" / f"{name}_seg.nii.gz"
    names = label_names(dataset_dir)
    return draw_case(files["image"], prediction, output_dir / "overlay.png", files["label"], names)


def main() -> None:
    """Entry point of ``python -m common.tools.demo``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/adnet"))
    parser.add_argument("--output-dir", type=Path, default=Path("demo"))
    parser.add_argument("--dataset-dir", default="phantom")
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--random-start", action="store_true", help="train an untrained network, with quick.yaml")
    given = parser.parse_args()
    guard(demo, given.bundle, given.output_dir, given.dataset_dir, given.max_epochs, given.random_start)


if __name__ == "__main__":
    main()
