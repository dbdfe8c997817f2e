"""Datasets: datalists, the built-in phantom, published folds and the cache of prepared volumes."""

from __future__ import annotations

from .cache import VolumeCache, intensity_statistics
from .datalists import exclude_subjects, label_names, load_datalist, select_subjects
from .folds import Fold, label_values, make_folds, number_of_folds, organ_groups, published_fold, split, training_items
from .monai_label.dataset import StudyDataset
from .phantom import cache_folder, make_phantom
from .queries import query_items, support_files

__all__ = [
    "Fold",
    "StudyDataset",
    "VolumeCache",
    "cache_folder",
    "exclude_subjects",
    "intensity_statistics",
    "label_names",
    "label_values",
    "load_datalist",
    "make_folds",
    "make_phantom",
    "number_of_folds",
    "organ_groups",
    "published_fold",
    "query_items",
    "select_subjects",
    "split",
    "support_files",
    "training_items",
]
