"""Wrong settings are refused before any work: ids that a configuration does not have, values that do not fit."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from pydoc import locate
from typing import Any

from monai.bundle import ConfigComponent, ConfigParser, ReferenceResolver
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from ..errors import InputError, one_line, root_cause
from ..files.record import COMPONENTS, texts
from .allowed import ALLOWED, FLAG, RENAMED, Rule, fault, kind_of
from .files import all_configs, find_config, plain_id, top_level
from .overlays import check_overlays

# MONAI's own: metadata, and the settings of its experiment tracking.
_MONAI = {"_meta_", *DEFAULT_MLFLOW_SETTINGS["configs"]}


def check_settings(parser: ConfigParser, configs: Path) -> None:
    """Refuse a configuration with an id that nothing knows, or a value that does not fit its id.

    The words ``true`` and ``false``, which MONAI's runner hands on as texts, become flags.

    Args:
        parser: configuration, overlays and overrides merged.
        configs: folder of the bundle's configurations, which say what ids there are.

    Raises:
        InputError: names every wrong id with the nearest that exists, or every wrong value with what is allowed.
    """
    ids = {name for name, _ in _walk(parser.get())}
    rules = _rules(configs)
    _read_flags(parser, ids, rules)
    chosen = parser.get("overlays")
    check_overlays(chosen if isinstance(chosen, dict) else {}, configs)
    faults = [*_unknown_ids(parser, ids, configs), *_missing_ids(parser, ids)] or list(
        _wrong_values(parser, ids, rules)
    )
    if faults:
        raise InputError("; ".join(faults))


def check_value(name: str, value: Any) -> None:
    """Refuse a value that does not fit its id.

    Raises:
        InputError: says the value and what is allowed.
    """
    message = fault(name, value)
    if message is not None:
        raise InputError(message)


def check_parents(parser: ConfigParser, names: Iterable[str]) -> None:
    """Refuse ids that cannot be set since what they belong to is not there.

    Args:
        parser: configuration without the overrides.
        names: ids to be set.

    Raises:
        InputError: names the id and the nearest that exists.
    """
    for name in names:
        parts = plain_id(name).split("#")
        for depth in range(1, len(parts)):
            parent = "#".join(parts[:depth])
            if parent not in parser:
                above = parser.get("#".join(parts[: depth - 1]))
                raise InputError(_unknown(name, parent, above if isinstance(above, dict) else ()))
            if not isinstance(parser[parent], dict | list):
                raise InputError(f"{name}: {parent} is {parser[parent]!r} and has no parts; set {parent} itself")


def _unknown_ids(parser: ConfigParser, ids: set[str], configs: Path) -> Iterator[str]:
    """Say which ids neither a configuration of the bundle, nor a reference, nor the component they belong to knows."""
    content = parser.get()
    references = {name for text in texts(content) for name in _references(text)}
    used = {"#".join(name.split("#")[:depth]) for name in references for depth in range(1, name.count("#") + 2)}
    known = _defined_ids(parser, ids, configs) | used | _MONAI
    if "trained" in ids:
        known |= _travelling_ids(configs)
    for path, holder in _walk(content):
        parent, _, key = path.rpartition("#")
        if ConfigComponent.is_instantiable(holder):
            arguments = _arguments(str(holder["_target_"]))
            if arguments is not None and key not in {*arguments, *ConfigComponent.non_arg_keys}:
                yield _unknown(path, path, arguments)
        elif (not parent or _is_group(holder, parent)) and path not in known:
            yield _unknown(path, path, [name for name in holder if f"{parent}#{name}".lstrip("#") in known])


def _missing_ids(parser: ConfigParser, ids: set[str]) -> Iterator[str]:
    """Say which ids the run list refers to, itself or through others, that are not there."""
    pending = ["run"] if "run" in ids else []
    seen: set[str] = set()
    while pending:
        for name in {name for text in texts(parser[pending.pop()]) for name in _references(text)} - seen:
            seen.add(name)
            if name in ids:
                pending.append(name)
            else:
                yield f"{name} is referred to, and this configuration has none{_nearest(name, list(ids))}"


def _rules(configs: Path) -> dict[str, Rule]:
    """Give the table, with the settings that the bundle's training alone has."""
    train = find_config(configs, "train")
    kinds = {name: kind_of(value) for name, value in (top_level(train) if train else {}).items()}
    return {**{name: rule for name, rule in kinds.items() if rule is not None}, **ALLOWED}


def _read_flags(parser: ConfigParser, ids: set[str], rules: Mapping[str, Rule]) -> None:
    for name in ids & {name for name, rule in rules.items() if rule is FLAG}:
        word = str(parser[name]).lower()
        if isinstance(parser[name], str) and word in ("true", "false"):
            parser[name] = word == "true"


def _wrong_values(parser: ConfigParser, ids: set[str], rules: Mapping[str, Rule]) -> Iterator[str]:
    for name, rule in rules.items():
        if name not in ids:
            continue
        value = parser[name]
        if isinstance(value, str) and value.startswith("@"):
            continue  # what it refers to has a line of its own
        if rule.evaluated or not isinstance(value, str):
            try:
                value = parser.get_parsed_content(name)
            except Exception as error:
                root = root_cause(error)
                cause = f"{name} is {value!r}, which cannot be evaluated: {type(root).__name__}: "
                yield one_line(root) if isinstance(root, InputError) else f"{cause}{one_line(root)}"
                continue
        message = fault(name, value, rules)
        if message is not None:
            yield message


def _defined_ids(parser: ConfigParser, ids: set[str], configs: Path) -> set[str]:
    """Collect the ids that the configuration's files define.

    MONAI merges files and overrides and forgets which was which. A base of which all ids are there counts as merged; an
    overlay, which may have few ids, only where one that it adds has its value, and with ids that other files have too.
    """
    files = [top_level(path) for path in all_configs(configs)]
    bases = [top for top in files if "imports" in top]
    merged = [top for top in bases if ids.issuperset(top)]
    here = {name for top in merged for name in top}
    numbers = Counter(name.split("#")[0] for top in files for name in top)
    for top in files:
        added = {name: value for name, value in top.items() if name not in here}
        if top not in bases and ids.issuperset(top) and any(parser[name] == value for name, value in added.items()):
            merged.append({name: value for name, value in added.items() if numbers[name.split("#")[0]] > 1})
    return {name for top in merged for name, _ in _walk(top)}


def _travelling_ids(configs: Path) -> set[str]:
    """Collect the settings that may be given by hand beside weights without settings, see ``Trained``."""
    files = [ConfigParser(top_level(path)) for path in all_configs(configs)]
    travelling = tuple(COMPONENTS.values())
    found = [top[place] for top in files for place in travelling if place in top]
    nested = [value for top in files for name, value in top.get().items() if name.startswith(travelling)]
    return {name for text in texts([found, nested]) for name in _references(text)}


def _is_group(holder: Any, name: str) -> bool:
    """Tell whether what stands at the top holds components by name, as ``train`` does, and no data."""
    return (
        isinstance(holder, dict)
        and "#" not in name
        and any(ConfigComponent.is_instantiable(value) for value in holder.values())
    )


@cache
def _arguments(target: str) -> tuple[str, ...] | None:
    """List the arguments that a component takes; None where it takes any, or is not there."""
    component = locate(ConfigComponent({"_target_": target}).resolve_module_name())
    if not callable(component):
        return None  # MONAI says why when it builds the component
    parameters = inspect.signature(component).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return tuple(parameter.name for parameter in parameters)


def _walk(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the id of everything inside, and what holds it."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        name = f"{path}#{key}" if path else str(key)
        if name != "_meta_":
            yield name, content
            yield from _walk(value, name)


def _references(text: str) -> set[str]:
    """Ids that a text refers to: ``@id``, and ``guard('id.method')`` of a run list."""
    steps = re.findall(r"@guard\('([\w#:]+)", text)
    return {plain_id(name) for name in [*ReferenceResolver.match_refs_pattern(text), *steps]}


def _unknown(name: str, part: str, known: Iterable[str]) -> str:
    parent, _, key = part.rpartition("#")
    prefix = f"{parent}#" if parent else ""
    nearest = _nearest(key, list(known), prefix)
    return f"{name}: this configuration has no {part}{nearest}"


def _nearest(name: str, known: list[str], prefix: str = "") -> str:
    new = RENAMED.get(name, "")
    if new.split("#")[0] in known:
        return f"; it is now {prefix}{new}"
    found = get_close_matches(name, known, 1, 0.7)
    return f"; did you mean {prefix}{found[0]}?" if found else ""
