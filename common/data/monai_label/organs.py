"""Which organs an answer to MONAI Label holds, their names and their values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from .requests import listed
from .server import Study, shortened

UNNAMED = "foreground"  # the only organ of a label map without names; MONAI Label calls it so where nothing is named
_MOST = 255  # the clients ask for answers of type uint8


class Answer(dict[str, Any]):
    """What the server returns beside a label map, and what it writes there itself does not replace.

    MONAI Label writes the organs of the bundle's metadata as ``label_names``, by which 3D Slicer names the segments.
    Here they are those of the answer.

    Args:
        organs: values in the answer by organ.
        support: names of the studies.
        own: values of the bundle's own organs, see ``own_organs``; those that the answer lacks are listed too.
    """

    def __init__(self, organs: Mapping[str, int], support: Sequence[str], own: Mapping[str, int]) -> None:
        names = sorted({**own, **organs}.items(), key=lambda entry: entry[1])
        super().__init__(organs=dict(organs), support=list(support), label_names=dict(names))

    def __setitem__(self, key: str, value: Any) -> None:
        self.setdefault(key, value)

    def __deepcopy__(self, memo: Any) -> dict[str, Any]:
        return json.loads(json.dumps(self))


def own_organs(bundle_root: str | None) -> dict[str, int]:
    """Return the values of the organs that a bundle was packaged for, in lower case as MONAI Label shows them."""
    if bundle_root is None:
        return {}
    metadata = json.loads(Path(bundle_root, "configs", "metadata.json").read_text())
    output = next(iter(metadata["network_data_format"]["outputs"].values()))
    named = {name.lower(): int(value) for value, name in output.get("channel_def", {}).items() if int(value) > 0}
    return {} if list(named) == [UNNAMED] else named


def fitting(study: Study, organ: str) -> list[str]:
    """Return the organs of a study that a name means: the very name, or else those that differ in case alone."""
    if organ in study.values:
        return [organ]
    return [name for name in study.values if name.lower() == organ.lower()]


def drawn_organs(study: Study, organ: str, value: int, own: Mapping[str, int]) -> dict[str, int]:
    """Find the organs that are asked for in a study's own label map.

    Args:
        study: with the values that are ``drawn``.
        organ: name, "" for none.
        value: in the label map, 0 for none; without either, every organ is asked for.
        own: values of the bundle's organs, which name the values of a label map without names.

    Returns:
        Values in the label map by organ, ascending.

    Raises:
        InputError: it is not drawn, or the name means several.
    """
    drawn, where = list(study.drawn), shortened(study.name)
    named = {name: number for name, number in study.values.items() if number in drawn}
    holds = listed(list(named)) or _counted(drawn) or "nothing"
    if organ and study.values:
        fits = [name for name in fitting(study, organ) if name in named]
        if len(fits) > 1:
            raise InputError(f"label_name {shortened(organ)} may be {listed(fits)} in {where}; write it as there")
        if not fits:
            raise InputError(f"label_name {shortened(organ)} is not drawn in {where}, which holds {holds}")
        return {fits[0]: named[fits[0]]}
    if value and value not in drawn:
        raise InputError(f"label_value {value} is not drawn in {where}, which holds {holds}")
    if not drawn:
        raise InputError(f"the label of {where} is empty; draw the organ on at least one slice")
    if value or organ:
        if not value and len(drawn) > 1:
            raise InputError(f"the label of {where} names no organ and holds {holds}; choose one by label_value")
        value = value or drawn[0]
        return {organ or next((name for name, number in named.items() if number == value), UNNAMED): value}
    if len(named or drawn) > _MOST:
        raise InputError(f"the label of {where} holds {holds}; choose one organ by label_name or label_value")
    unnamed = {number: name for name, number in own.items()}
    organs = named or {unnamed.get(number, f"organ {number}"): number for number in drawn}
    if not named and not unnamed and len(drawn) == 1:
        organs = {UNNAMED: drawn[0]}
    return dict(sorted(organs.items(), key=lambda entry: entry[1]))


def named_alike(found: Sequence[dict[str, int]], one: bool) -> list[dict[str, int]]:
    """Give one organ one name in all studies, be it named in some of them only.

    Args:
        found: values by organ, for each study.
        one: they are one organ, whatever the studies call it.
    """
    names = list(dict.fromkeys(name for organs in found for name in organs))
    known = [name for name in names if name != UNNAMED] or names
    if one or len(known) == 1:
        return [{known[0]: next(iter(organs.values()))} for organs in found]
    return list(found)


def numbered(found: Iterable[Mapping[str, int]], own: Mapping[str, int]) -> dict[str, int]:
    """Choose the organs' values in the answer: the bundle's own, and then whole numbers without gaps.

    3D Slicer takes value n for the n-th name.
    """
    values: dict[str, int] = {}
    free = max(own.values(), default=0)
    for name in dict.fromkeys(name for organs in found for name in organs):
        if name.lower() not in own:
            free += 1
        values[name] = own.get(name.lower(), free)
    return values


def _counted(drawn: Sequence[int]) -> str:
    return listed(list(drawn)) if len(drawn) <= 10 else f"{len(drawn)} different values"
