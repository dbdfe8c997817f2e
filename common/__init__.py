"""Shared package of the few-shot segmentation bundles: data, supervoxels, episodes, prototypes, networks, inference."""

__version__ = "0.1.0"
PROGRAM = "fewshot-bundles"
