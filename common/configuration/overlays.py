"""Overlays by what they are for: method, data, machine; which go together, and in what order.

An overlay says its axis under the id ``overlays``, as ``machine``; after a semicolon ``with`` or ``not with`` names
other overlays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from .files import ABLATIONS, find_config, top_level

# In the order in which they are read: where two set the same id, the later one's value holds.
AXES = ("method", "speed", "data", "machine", "phase", "processes")
_KEY = "overlays#"


def check_overlays(chosen: Mapping[str, str], configs: Path) -> None:
    """Refuse overlays that do not go together, or whose order would lose what one of them sets.

    Args:
        chosen: names in the order in which they were merged, and what they say of themselves.
        configs: folder of the bundle's configurations.

    Raises:
        InputError: names the two, and what to do.
    """
    for name, text in chosen.items():
        axis, needed, excluded = _read(name, text)
        if missing := [other for other in needed if other not in chosen]:
            raise InputError(f"overlay {name} needs {', '.join(missing)}; name it too")
        if found := [other for other in excluded if other in chosen]:
            raise InputError(f"overlays {name} and {found[0]} make no sense together; leave one out")
    for first, second in combinations(chosen, 2):
        ranks = [AXES.index(_read(name, chosen[name])[0]) for name in (first, second)]
        shared = _shared(_top(configs, first), _top(configs, second))
        if ranks[0] == ranks[1] and (shared or AXES[ranks[0]] == "data"):
            both = f", both set {', '.join(shared)}" if shared else ""
            raise InputError(f"overlays {first} and {second} are two of one kind, {AXES[ranks[0]]}{both}; choose one")
        if ranks[0] > ranks[1] and shared:
            raise InputError(f"overlay {second} after {first} would replace its {', '.join(shared)}; name it before")


def in_order(names: Sequence[str], configs: Path) -> list[str]:
    """Return configurations in the order in which they are to be merged; those without an axis keep their places.

    Args:
        names: of configurations, base first.
        configs: folder of the bundle's configurations.
    """
    marked = {name: AXES.index(axis) for name in names if (axis := _axis(configs, name)) is not None}
    ordered = iter(sorted(marked, key=marked.__getitem__))
    return [next(ordered) if name in marked else name for name in names]


def is_scale(name: str, configs: Path) -> bool:
    """Tell whether an overlay says what is trained on, at what size and from where, and leaves the method alone.

    Args:
        name: of the overlay.
        configs: folder of a bundle's configurations; ablations, and overlays that it has not, are no scale.
    """
    text = _top(configs, name).get(f"{_KEY}{name}")
    axis, needed, _ = ("method", [], []) if text is None else _read(name, text)
    of_a_machine = any(_axis(configs, other) == "machine" for other in needed)
    return axis in ("speed", "data", "machine", "processes") or (axis == "phase" and of_a_machine)


def _axis(configs: Path, name: str) -> str | None:
    path = find_config(configs, name)
    if path is not None and path.parent.name == ABLATIONS:
        return "phase"  # changes what all others have set
    text = _top(configs, name).get(f"{_KEY}{name}")
    return None if text is None else _read(name, text)[0]


def _read(name: str, text: str) -> tuple[str, list[str], list[str]]:
    """Return the axis, the overlays that it needs and those that it excludes."""
    found = re.fullmatch(r"(\w+)(?:; with ([\w, ]+?))?(?:; not with ([\w, ]+))?", str(text))
    if found is None or found[1] not in AXES:
        raise InputError(f"overlays#{name} is {text!r}; it takes one of {', '.join(AXES)}")
    needed, excluded = (
        [part.strip() for part in (text or "").split(",") if part.strip()] for text in found.groups()[1:]
    )
    return found[1], needed, excluded


def _shared(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Name the ids that two overlays set to different values, one inside of the other's included."""
    return sorted({max(a, b, key=len) for a, b in _overlaps(one, other) if a != b or one[a] != other[b]})


def _overlaps(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for a in one:
        for b in other:
            inside = a.startswith(f"{b}#") or b.startswith(f"{a}#")
            if (a == b or inside) and not a.startswith(_KEY):
                yield a, b


def _top(configs: Path, name: str) -> dict[str, Any]:
    path = find_config(configs, name)
    try:
        return {} if path is None else top_level(path)
    except (yaml.YAMLError, AttributeError):
        return {}  # who merges the file says what is wrong with it
