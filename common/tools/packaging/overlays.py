"""Merge an overlay into a configuration as text, so that the result reads like its base, comments included."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from monai.bundle import ConfigParser

from ...errors import InputError


def merge_overlay(base: str, overlay: str) -> str:
    """Write the values of an overlay into the text of a configuration.

    Args:
        base: YAML text of train.yaml or inference.yaml.
        overlay: YAML text of the overlay; ids may be nested, ``network_def#encoder``.

    Returns:
        YAML text that MONAI reads like base and overlay one after the other.

    Raises:
        InputError: the overlay holds what cannot be merged as text, such as the index of a list.
    """
    merged, lines = base, overlay.splitlines()
    for name, _, first, last in _items(overlay):
        merged = _replace(merged, name.split("#"), "\n".join(lines[first:last]))
    expected, values = ConfigParser(yaml.safe_load(base)), yaml.safe_load(overlay)
    for name, value in values.items():
        expected[name] = value
    if yaml.safe_load(merged) != expected.get():
        raise InputError(f"an overlay with {', '.join(values)} cannot be merged into its base")
    return merged


def _items(text: str, path: Iterable[str] = ()) -> list[tuple[str, int, int, int]]:
    """List the entries of a mapping: name, column, first line and the line behind the last."""
    return [
        (key.value, key.start_mark.column, key.start_mark.line, max(key.end_mark.line, _last_line(value)) + 1)
        for key, value in _node(text, path).value
    ]


def _node(text: str, path: Iterable[str]) -> Any:
    node: Any = yaml.compose(text, yaml.SafeLoader)
    for name in path:
        node = next(value for key, value in node.value if key.value == name)
    return node


def _as_block(text: str, path: list[str]) -> str:
    """Write a mapping in braces as one with a line for each key, so that one of them can be replaced."""
    *parents, name = path
    if parents and _node(text, parents).flow_style:
        text = _as_block(text, parents)
    column, first, last = next(place for key, *place in _items(text, parents) if key == name)
    lines = text.splitlines()
    entries = [
        f"{key.value}: {text[value.start_mark.index : value.end_mark.index]}" for key, value in _node(text, path).value
    ]
    block = [f"{' ' * column}{name}:", *textwrap.indent("\n".join(entries), " " * (column + 2)).splitlines()]
    return "\n".join([*lines[:first], *block, *lines[last:]]) + "\n"


def _last_line(node: yaml.Node) -> int:
    """Find the last line of a value; the end mark of a block lies behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    block_text = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    return node.end_mark.line - int(block_text)


def _replace(base: str, path: list[str], text: str) -> str:
    *parents, name = path
    try:
        if parents and _node(base, parents).flow_style:
            base = _as_block(base, parents)
        siblings = _items(base, parents)
    except (StopIteration, TypeError) as error:
        raise InputError(f"{'#'.join(path)}: the base has no mapping {'#'.join(parents)}") from error
    entry = textwrap.indent(f"{name}:{text.partition(':')[2]}", " " * siblings[0][1]).splitlines()
    places: Mapping[str, tuple[int, int]] = {found: (first, last) for found, _, first, last in siblings}
    first, last = places.get(name, (siblings[-1][3],) * 2)
    lines = base.splitlines()
    return "\n".join(lines[:first] + entry + lines[last:]) + "\n"
