"""Write a bundle that runs with MONAI alone, as folder and zip: for MONAI Label, colleagues and the model zoo."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser

from ...configuration.overlays import in_order
from ...configuration.trained import check_agreement
from ...configuration.workflow import config_file, merged_config
from ...errors import InputError, one_line, user_mistake
from ...files.checkpoints import bundle_weights, load_weights
from ...files.exchange import put_back
from ...files.hashing import hash_files
from ...files.record import attach_record, make_record, read_usable_record
from ...files.writing import check_archive, whole_file, whole_folder, write_bytes, write_state, write_text
from .naming import name_organs
from .overlays import merge_overlay
from .readme import arrange_readme
from .vendor import copy_bundle, vendored

LARGEST_FILE = 25 * 10**6  # bytes; the model zoo takes no larger file
FILE_LIST = "SHA256SUMS"
# Configurations that a variant keeps; the other overlays are made for its base.
_FOR_EVERY_VARIANT = ("train", "inference", "evaluate", "multi_gpu_train")


def package(
    bundle: Path,
    output: Path,
    checkpoint: Path | None = None,
    config: Sequence[str] = (),
    variant: str | None = None,
    weights_url: str | None = None,
    any_size: bool = False,
    overwrite: bool = False,
    organs: Mapping[int, str] | None = None,
) -> Path:
    """Package one bundle with its trained weights.

    Args:
        bundle: folder in the repository.
        output: folder that gets ``<name>/``, ``<name>_v<version>.zip``, the zoo's unit tests and, with
            ``weights_url``, weights to upload.
        checkpoint: trained weights; None takes the bundle's, or those that it came with.
        config: overlays that are written into train.yaml; inference takes its settings from the weights.
        variant: makes the overlay ``train_<variant>`` a bundle of its own, ``<name>_<variant>``.
        weights_url: address at which the weights will lie, ``{file}`` standing for their name; they are left out and
            listed in ``large_files.yml``.
        any_size: allow weights of any size inside, for one's own server; the model zoo would refuse them.
        overwrite: replace a packaged bundle also where its files were changed, and a file of the archive's name.
        organs: names of organs by their value in answers of MONAI Label, for ``channel_def`` in the metadata.

    Returns:
        The packaged folder.

    Raises:
        InputError: ``bundle`` is none, weights of another network or too large, an overlay that cannot be merged,
            organs that clients could not show, ``output`` holds something else under that name, or a file names a
            personal folder.
        FileNotFoundError: no checkpoint.
    """
    if not (bundle / "configs" / "metadata.json").is_file():
        raise InputError(f"{bundle} is no bundle: it has no configs/metadata.json")
    name = bundle.name if variant is None else f"{bundle.name}_{variant}"
    target = output / name
    put_back(target)
    if target.exists() and not (target / FILE_LIST).is_file():
        raise InputError(f"{target} exists and is no packaged bundle; choose another --output")
    if target.exists() and not overwrite and (changed := _changed(target)):
        raise InputError(f"{target}: {changed} was changed or added after packaging; keep it, or give --overwrite")
    with whole_folder(target) as draft:
        copy_bundle(bundle, draft)
        overlays = [*config, *([f"train_{variant}"] if variant else [])]
        _merge_overlays(bundle, draft / "configs", overlays)
        if variant is not None:
            _become_variant(draft, variant)
        if organs:
            name_organs(draft / "configs" / "metadata.json", organs)
        for path in [*draft.glob("configs/metadata_*.json"), *draft.glob("docs/README_*.md")]:
            path.unlink()
        version = json.loads((draft / "configs" / "metadata.json").read_text())["version"]
        weights = draft / "models" / "model.pt"
        named = merged_config(bundle, overlays)
        _store_weights(
            bundle, draft / "configs" / "train.yaml", checkpoint or Path(bundle_weights(bundle)), weights, named
        )
        arrange_readme(draft)
        if weights_url is not None:
            _refer_to_weights(draft, weights_url, output / f"{name}_v{version}_model.pt")
        _check(draft, None if any_size else LARGEST_FILE)
        (draft / FILE_LIST).write_text(_hashes(draft))
        archive = output / f"{name}_v{version}.zip"
        if archive.exists() and not overwrite and not _is_package(archive, name):
            raise InputError(f"{archive} exists and is no packaged bundle; choose another --output")
        with whole_file(archive, check_archive) as partial:
            _zip(draft, name, partial)
    _write_unit_tests(output / "unit_tests", name)
    return target


def package_all(bundles: Iterable[Path], output: Path, **options: Any) -> list[Path]:
    """Package several bundles, each in a process of its own: one process holds one package ``scripts``.

    Args:
        bundles: folders in the repository.
        output: as for ``package``, like ``options`` for all of them.

    Returns:
        The packaged folders.
    """
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        jobs = [pool.apply_async(_package, (bundle, output), options) for bundle in bundles]
        return [job.get() for job in jobs]


def _package(bundle: Path, output: Path, **options: Any) -> Path:
    """Package, and keep a user's mistake recognisable: an error loses its cause on the way to another process."""
    try:
        return package(bundle, output, **options)
    except Exception as error:
        mistake = user_mistake(error)
        if mistake is None:
            raise
        raise InputError(one_line(mistake)) from None


def _merge_overlays(bundle: Path, configs: Path, overlays: Sequence[str]) -> None:
    """Write overlays into train.yaml; ablations are not in the draft."""
    train = configs / "train.yaml"
    for name in in_order(overlays, bundle / "configs"):
        # What was an overlay is part of the base from now on.
        overlay = re.sub(r"^overlays#.*\n", "", config_file(bundle, name).read_text(), flags=re.MULTILINE)
        overlay = vendored(overlay, bundle)
        train.write_text(merge_overlay(train.read_text(), overlay))


def _become_variant(draft: Path, variant: str) -> None:
    """Take a variant's own metadata and README, and leave out the overlays of its base."""
    configs, docs = draft / "configs", draft / "docs"
    path = configs / "metadata.json"
    metadata = _update(json.loads(path.read_text()), json.loads((configs / f"metadata_{variant}.json").read_text()))
    path.write_text(json.dumps(metadata, indent=2) + "\n")
    os.replace(docs / f"README_{variant}.md", docs / "README.md")
    for path in configs.glob("*.yaml"):
        if path.stem not in _FOR_EVERY_VARIANT:
            path.unlink()


def _update(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change a nested mapping; an empty mapping empties."""
    nested = {key: _update(base[key], value) for key, value in changes.items() if isinstance(value, dict) and value}
    return {**base, **changes, **nested}


def _store_weights(bundle: Path, train: Path, checkpoint: Path, target: Path, named: Mapping[str, Any]) -> None:
    """Store the weights plainly with the settings of their training, which train.yaml then has too.

    Weights without settings get those of train.yaml; others must agree with the overlays that were named.
    """
    if str(bundle.absolute()) not in sys.path:
        sys.path.insert(0, str(bundle.absolute()))
    record = read_usable_record(checkpoint)
    found = make_record(_training(train))
    if record is None:
        record = found
    elif record["components"] != found["components"]:
        raise InputError(
            f"{checkpoint} was trained with another network, preprocessing or inferer than {bundle.name} has; name the "
            "overlays of that training, --config, or its --variant"
        )
    check_agreement(checkpoint, record, named)
    changed = {name: value for name, value in record["settings"].items() if value != found["settings"][name]}
    if changed:
        lines = [f"{name}: {json.dumps(value)}  # as the weights were trained" for name, value in changed.items()]
        train.write_text(merge_overlay(train.read_text(), "\n".join(lines) + "\n"))
    network = _training(train).get_parsed_content("network_def")
    load_weights(network, checkpoint)
    state = network.state_dict()
    attach_record(state, record)
    write_state(target, state)


def _training(train: Path) -> ConfigParser:
    return ConfigParser(yaml.safe_load(train.read_text().replace("_target_: scripts.common.", "_target_: common.")))


def _refer_to_weights(draft: Path, url: str, upload: Path) -> None:
    weights = draft / "models" / "model.pt"
    url = url.replace("{file}", upload.name)
    entry = {"path": "models/model.pt", "url": url, "hash_val": hash_files(weights).hex(), "hash_type": "sha256"}
    lines = [f"{'- ' if key == 'path' else '  '}{key}: {json.dumps(value)}" for key, value in entry.items()]
    (draft / "large_files.yml").write_text("\n".join(["large_files:", *lines]) + "\n")
    with whole_file(upload, check_archive) as partial:
        shutil.copyfile(weights, partial)
    weights.unlink()
    weights.parent.rmdir()


def _check(draft: Path, largest: int | None) -> None:
    repository = re.escape(str(Path(__file__).parents[3]))
    personal = re.compile(rf"/(?:home|Users|root)/\w+|{re.escape(str(Path.home()))}/|{repository}/")
    for path in sorted(path for path in draft.rglob("*") if not path.is_dir()):
        name, size = path.relative_to(draft), path.stat().st_size
        if largest is not None and size > largest:
            raise InputError(
                f"{name} has {size / 1e6:.0f} MB, the model zoo takes {largest / 1e6:.0f}: give the address where the "
                "weights will lie, --weights-url, or --any-size for your own server"
            )
        if path.suffix != ".pt" and (found := personal.search(path.read_text())):
            raise InputError(f"{name} names the folder {found[0]}; remove it")


def _hashes(folder: Path) -> str:
    """Return the hashes of a bundle's files in the format that ``sha256sum --check`` reads."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    lines = [f"{hash_files(path).hex()}  {path.relative_to(folder).as_posix()}\n" for path in files]
    return "".join(line for line in lines if not line.endswith(f"  {FILE_LIST}\n"))


def _changed(folder: Path) -> str:
    """Name a file of a packaged bundle that is not as it was packaged; empty where all are."""
    differing = set(_hashes(folder).splitlines()) ^ set((folder / FILE_LIST).read_text().splitlines())
    return min((line.split("  ", 1)[-1] for line in differing), default="")


def _is_package(archive: Path, name: str) -> bool:
    return zipfile.is_zipfile(archive) and f"{name}/{FILE_LIST}" in zipfile.ZipFile(archive).namelist()


def _zip(folder: Path, name: str, archive: Path) -> None:
    """Pack a folder under a name; equal contents give equal bytes."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo((Path(name) / path.relative_to(folder)).as_posix())
            file.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def _write_unit_tests(folder: Path, name: str) -> None:
    """Write what the zoo wants in ci/unit_tests, under the names that it looks for."""
    write_bytes(folder / f"test_{name}.py", (Path(__file__).parent / "unit_tests" / "bundle.py").read_bytes())
    text = (
        f'"""Train the bundle with several processes, under torchrun."""\n\nfrom test_{name} import TestBundleDist\n\n'
    )
    write_text(folder / f"test_{name}_dist.py", text + '__all__ = ["TestBundleDist"]\n')
