"""What each setting of the bundles may be: one line per id."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from math import inf, isfinite
from typing import Any, NamedTuple

from ..speed.precision import PRECISIONS


class Rule(NamedTuple):
    """What a setting takes, in words and as a test; ``evaluated`` is false for text that stays as it was given."""

    words: str
    fits: Callable[[Any], bool]
    evaluated: bool = True


def whole(low: int, high: float = inf) -> Rule:
    """Whole number within bounds."""
    words = f"a whole number from {low} {'up' if high == inf else f'to {high}'}"
    return Rule(words, lambda value: _is_whole(value) and low <= value <= high)


def number(low: float = -inf, high: float = inf, above: bool = False) -> Rule:
    """Number within bounds; with ``above`` it must exceed the lower one."""
    limits = [f"{'above' if above else 'from'} {low:g}"] * (low > -inf) + [f"up to {high:g}"] * (high < inf)
    words = " ".join(["a number", *limits])
    return Rule(words, lambda value: _is_number(value) and low <= value <= high and not (above and value == low))


def one_of(*names: str) -> Rule:
    """One of some words."""
    return Rule(" or ".join(names), lambda value: isinstance(value, str) and value in names)


def each(rule: Rule, length: int | None = None, low: int = 0, words: str = "") -> Rule:
    """List of values that each keep a rule; of a length, or of at least ``low``."""
    size = f"{length} values" if length else "at least one value" if low else "values"
    return Rule(
        words or f"a list of {size}, each {rule.words}",
        lambda value: (
            isinstance(value, list | tuple)
            and (len(value) == length if length else len(value) >= low)
            and all(rule.fits(part) for part in value)
        ),
    )


def either(*rules: Rule) -> Rule:
    """What any of some rules takes."""
    words = ", or ".join(rule.words for rule in rules)
    return Rule(words, lambda value: any(rule.fits(value) for rule in rules), all(rule.evaluated for rule in rules))


def rising(rule: Rule, words: str, strictly: bool = True) -> Rule:
    """List whose values rise."""
    compare = operator.lt if strictly else operator.le
    return Rule(words, lambda value: rule.fits(value) and all(compare(*pair) for pair in pairwise(value)))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_orientation(value: Any) -> bool:
    axes = [next((axis for axis in ("RL", "AP", "SI") if letter in axis), None) for letter in str(value)]
    return isinstance(value, str) and len(axes) == 3 and set(axes) == {"RL", "AP", "SI"}


def _is_device(value: Any) -> bool:
    import torch

    try:
        return torch.zeros(1, device=value).device.type != "meta"
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):
        return False


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value != "" and not (value[0] in "$@%" and os.path.lexists(value))


def _is_names(value: Any) -> bool:
    return isinstance(value, dict) and all(
        (_is_whole(key) or str(key).isdecimal()) and isinstance(name, str) for key, name in value.items()
    )


NULL = Rule("null", lambda value: value is None)
FLAG = Rule("true or false", lambda value: isinstance(value, bool))
TEXT = Rule("a text", lambda value: isinstance(value, str) and value != "", evaluated=False)
PATH = Rule("a path, with ./ before a leading $, @ or %, which MONAI would read", _is_path, evaluated=False)
PATHS = either(PATH, each(PATH, low=1)._replace(evaluated=False))
SIZE = each(whole(1), 3, words="three whole numbers from 1 up")
LABELS = each(whole(1), low=1, words="a list of label values from 1 up, for instance [1, 4]")
PROTOCOL = Rule(
    "ep1, ep2, k and a number such as k12, or ep2k and a number such as ep2k3",
    lambda value: isinstance(value, str) and re.fullmatch(r"ep[12]|(ep2)?k[1-9]\d*", value) is not None,
)
TARGET = one_of("both", "query", "one", "none")
PAIRING = one_of("same", "adjacent", "near", "scans")
DEVICE = Rule("a device that this machine has, such as cpu or cuda:0", _is_device)
AXCODES = Rule("three letters, one each of R or L, A or P, S or I, such as RAS", _is_orientation)
WINDOW = rising(each(number(), 2), "a list of two numbers, the lower one first")
SLICES = rising(each(whole(0), 2), "a list of two slices from 0 up, the first and the last", strictly=False)
NAMES = Rule("names by label value, such as {1: liver}", _is_names)
OVERLAP = Rule("a number from 0 to below 1", lambda value: _is_number(value) and 0 <= value < 1)
SPACING = each(number(0, 100), 3, words="three numbers from 0 to 100 (mm; 0 keeps the scan's own)")

# Settings that had another name, or another place below the same component.
RENAMED = {
    "gamma_target": "intensity_target",
    "gamma_first": "intensity_first",
    **{name: f"pairs#{name}" for name in ("pairing", "excluded_labels", "swap_probability")},
    **{name: f"pairs#{name}" for name in ("min_area", "min_area_rule", "patch_size", "max_shift", "min_voxels")},
}

ALLOWED: dict[str, Rule] = {
    # files: what is there is checked where it is read
    "ckpt_dir": PATH, "output_dir": PATH, "cache_dir": PATH, "pretrained": PATH,
    "dataset_dir": either(PATH, NULL), "checkpoint": either(PATH, NULL),
    "image": either(PATHS, NULL), "support_image": either(PATHS, NULL), "support_label": either(PATHS, NULL),
    "init": TEXT._replace(words="coco, imagenet, synthetic, none or a file"),
    # data
    "challenge": either(one_of("chaos", "sabs", "mscmr", "visceral"), NULL), "support_rule": one_of("wrap", "last"),
    "fold": either(whole(0, 4), NULL), "excluded_labels": each(whole(0)), "added_classes": each(whole(1)),
    "organs": either(LABELS, NULL), "test_organs": either(LABELS, NULL), "fold_organs": either(LABELS, NULL),
    "train_organs": either(LABELS, NULL), "validate#load_support#organs": either(LABELS, NULL),
    "number_annotated": whole(2), "annotated_subjects": either(each(either(TEXT, whole(0)), low=2), NULL),
    "query_slices": either(SLICES, NULL), "organ_names": either(NAMES, NULL),
    "channel": either(whole(0), TEXT, NULL)._replace(words="a number from 0 up, a name or null"), "allow_outside": FLAG,
    "load_support#slices": FLAG, "validate#load_support#slices": FLAG,
    "train#dataset#labelled": FLAG, "confidence": FLAG, "dicom_seg": FLAG, "preview": FLAG,
    "summary": either(one_of("text", "json"), NULL),
    # preprocessing
    "axcodes": either(AXCODES, NULL), "spacing": SPACING, "image_size": whole(16, 4096),
    "upper_percentile": number(0, 100, above=True), "intensity_window": either(WINDOW, NULL),
    "normalisation": one_of("z_score", "body_median"),
    "intensity_mean": either(number(), NULL), "intensity_std": either(number(0, above=True), NULL),
    "volume_size": either(SIZE, NULL), "patch_size": either(SIZE, NULL), "roi_size": either(SIZE, NULL),
    # pseudo-labels and episodes
    "supervoxel_min_size": whole(1), "superpixel_min_size": whole(1), "supervoxel_segments": whole(1),
    "superpixel_sigma": number(0), "superpixel_scale": number(0), "supervoxel_compactness": number(0, above=True),
    "superpixel_threshold": number(), "supervoxel_threshold": number(),
    "min_area": whole(1), "train#dataloader#pairs#min_area": whole(1), "min_area_rule": one_of("first", "both"),
    "min_area_fraction": number(0, 1), "min_voxels": whole(1), "max_shift": whole(0),
    "pairing": PAIRING, "train#dataloader#pairs#pairing": PAIRING,
    "intensity_target": TARGET, "train#dataloader#intensity_target": TARGET, "intensity_first": FLAG,
    "geometry_target": TARGET, "train#dataloader#geometry_target": TARGET,
    "gamma": rising(each(number(0, above=True), 2), "two numbers above 0, the lower one first", strictly=False),
    "contrast": number(0, 1), "brightness": number(0), "intensity_probability": number(0, 1),
    # networks
    "encoder_depth": Rule("18, 50 or 101", lambda value: _is_whole(value) and value in (18, 50, 101)),
    "encoder_stages": whole(2, 4), "encoder_channels": each(whole(1), low=2), "encoder_width": whole(1),
    "encoder_layers": each(whole(1), 4), "encoder_cardinality": whole(1), "feature_channels": whole(1),
    "inner_channels": whole(1), "blocks": whole(1), "branches": whole(1, 2), "pool_factor": whole(1),
    "pool_kernel": whole(1), "pool_centred": FLAG, "tied_embedding": FLAG, "compare_embeddings": FLAG,
    "times_pixels": FLAG, "encoded_features": FLAG, "pool_at": one_of("image", "features"),
    "encode": one_of("together", "separate"),
    "prototype_mode": one_of("local", "global"), "prototype_rule": one_of("code", "paper"),
    "window": either(whole(1), SIZE), "inference_window": whole(1), "cell_threshold": number(0, 1),
    "grid_fraction": number(0, 1, above=True), "grid_size": whole(0, 512), "overlap": OVERLAP,
    "alpha": number(0, above=True), "kappa": number(0, above=True), "scale": number(0, above=True),
    "threshold": number(), "dropout": number(0, 1), "freeze_backbone": FLAG, "force_background": FLAG,
    # optimisation
    "seed": whole(0, 2**32 - 1), "device": DEVICE, "batch_size": whole(1), "episodes_per_epoch": whole(1),
    "max_epochs": whole(1), "train#trainer#max_epochs": whole(1), "learning_rate": number(0, above=True),
    "lr_decay": number(0, 1, above=True), "lr_step": whole(1), "weight_decay": number(0),
    "background_weight": number(0), "alignment_weight": number(0), "threshold_weight": number(0),
    "skip_empty_alignment": FLAG, "optimizer#fused": FLAG, "precision": one_of(*PRECISIONS), "compiled": FLAG,
    "cuda_graph": FLAG,
    # run
    "estimate": FLAG, "val_interval": whole(1), "save_interval": whole(1), "keep_interval": whole(1), "rank": whole(0),
    "resume": FLAG, "restart": FLAG, "overwrite": FLAG, "cache_bytes": whole(0), "num_workers": either(whole(0), NULL),
    "protocol": PROTOCOL, "protocols": each(PROTOCOL, low=1), "shots": whole(1),
    "chunk_rule": one_of("list", "range"), "support_slices": one_of("all", "one"),
    "distances": FLAG, "thresholds": each(number(), low=1),
    "evaluate_space": one_of("preprocessed", "original"),
    "largest_components": either(whole(1), NULL),
}  # fmt: skip


def kind_of(value: Any) -> Rule | None:
    """Make the rule of a setting of one method alone, which the table lacks; None where its value does not tell.

    Args:
        value: in train.yaml.
    """
    if isinstance(value, bool):
        return FLAG
    if _is_number(value):
        return number()
    if isinstance(value, list) and value and all(_is_number(part) for part in value):
        return each(number())
    return TEXT if isinstance(value, str) and value[:1] not in ("", "$", "@") else None


def fault(name: str, value: Any, rules: Mapping[str, Rule] = ALLOWED) -> str | None:
    """Say in one line what is wrong with the value of a setting; None where nothing is, or nothing is known.

    Args:
        name: id, levels separated by ``#``.
        value: its value.
        rules: by id.
    """
    rule = rules.get(name)
    return None if rule is None or rule.fits(value) else f"{name} is {_shown(value)}; it takes {rule.words}"


def _shown(value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else value
    text = "null" if value is None else " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
