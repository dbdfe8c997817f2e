"""The settings that came with the weights, for inference and evaluation: nobody names them again."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ..calling import calling_parser, running_bundle
from ..errors import InputError, guard
from ..files.record import COMPONENTS, make_record, read_usable_record
from ..transforms import WarnUnlikeKnownd, WarnUnlikeTrainingd
from .files import find_config
from .overlays import in_order

logger = logging.getLogger(__name__)

# Of network and preprocessing, what may be chosen anew for each use of a model; of the inferer, everything.
_FREE = ("inference_window",)


class Trained:
    """Network, preprocessing and inferer as in the training that wrote the weights.

    Settings given by hand, as ids of the configuration, must agree with the weights. Weights without settings, of other
    projects and older versions, take them from the training configurations and by hand.

    Args:
        checkpoint: file of weights; None, or a file that is not there, counts as weights without settings.
        configs: the bundle's configurations for weights without settings: train, and overlays.

    Raises:
        InputError: the file is damaged, or a setting given by hand contradicts it.
    """

    def __init__(self, checkpoint: str | Path | None, configs: Sequence[str] = ("train",)) -> None:
        parser = calling_parser() or ConfigParser({})
        configs = in_order(configs, running_bundle() / "configs")
        names = ", ".join(f"{name}.yaml" for name in configs)
        record = _record(checkpoint, f"those of {names} and those given by hand are used")
        if record is None:
            training = ConfigParser.load_config_files([_config_file(name) for name in configs])
            record = make_record(ConfigParser(training))
            given = _given(parser, record["settings"])
            record = make_record(ConfigParser({**training, **given}))
        given = _given(parser, record["settings"])
        named: dict[str, Any] = {}
        for name in configs[1:]:
            named |= _training_overlay(parser, name, record)
        check_agreement(checkpoint, record, {**named, **given})
        self.components: dict[str, Any] = record["components"]
        self.trained_on: dict[str, Any] | None = record.get("fingerprint")
        self.settings: dict[str, Any] = {**record["settings"], **given}

    def network(self) -> Any:
        """Build the network; its weights are not loaded."""
        return self._build("network_def")

    def prepare(self, **arguments: Any) -> Any:
        """Build the preprocessing, see ``ScanPreprocessing``; a scan unlike those of the training gets a warning.

        Args:
            arguments: replace those of the training.
        """
        prepare = self._build("prepare", **arguments)
        trained_on = self.trained_on or {}
        if "intensities" in trained_on:
            load, *others = prepare.steps
            prepare.steps = [load, WarnUnlikeTrainingd("image", trained_on), *others]
        if "looks" in trained_on:  # of computer-drawn scans
            prepare.steps = [*prepare.steps, WarnUnlikeKnownd("image", trained_on)]
        return prepare

    def inferer(self, **arguments: Any) -> Any:
        """Build the inferer.

        Args:
            arguments: replace those of the training; those that it does not take are left out.
        """
        return self._build("inferer", **arguments)

    @property
    def slices(self) -> bool:
        """Whether the method compares slices, see ``LoadSupportd``."""
        return bool(self.components.get("slices", False))

    def arguments(self, name: str) -> dict[str, Any]:
        """Return the settings that a component refers to, by id.

        Args:
            name: ``network_def``, ``prepare`` or ``inferer``.
        """
        text = json.dumps(self.components[name])
        return {key: value for key, value in self.settings.items() if f'"@{key}"' in text}

    def _build(self, name: str, **arguments: Any) -> Any:
        component = {**self.components[name], **arguments}
        return ConfigParser({**self.settings, name: component}).get_parsed_content(name)


def adopt() -> None:
    """Give the training configuration that is running, for evaluation, the settings that came with the weights.

    Raises:
        InputError: the file is damaged, or a setting given by hand contradicts it.
    """
    parser = calling_parser()
    if parser is None:
        raise RuntimeError("belongs in the run list of a configuration")
    guard(_adopt, parser)


def check_agreement(checkpoint: str | Path | None, record: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse settings that differ from those of the weights.

    Args:
        checkpoint: file of the weights.
        record: of the file, see ``make_record``.
        given: ids and values; other ids than those of network and preprocessing are left alone.

    Raises:
        InputError: names each with both values.
    """
    wrong = [
        f"{name} is {given[name]}, and {checkpoint} was trained with {record['settings'][name]}"
        for name in sorted(_fixed(record).intersection(given))
        if given[name] != record["settings"][name]
    ]
    if wrong:
        raise InputError(f"{'; '.join(wrong)}; leave {'it' if len(wrong) == 1 else 'them'} out")


def _adopt(parser: ConfigParser) -> None:
    checkpoint = parser.get_parsed_content("checkpoint")
    record = _record(checkpoint, "those of the configuration are used")
    if record is None:
        return
    defaults = ConfigParser.load_config_file(_config_file("train"))
    given = {
        name: value
        for name, value in _given(parser, record["settings"]).items()
        if name not in defaults or parser[name] != defaults[name]
    }
    check_agreement(checkpoint, record, given)
    fixed = _fixed(record)
    for name, value in record["settings"].items():
        if name in fixed or name not in parser:
            parser[name] = value
    for name, component in record["components"].items():
        parser[COMPONENTS[name]] = component


def _record(checkpoint: str | Path | None, instead: str) -> dict[str, Any] | None:
    record = None if checkpoint is None else read_usable_record(checkpoint)
    if record is None and checkpoint is not None and Path(checkpoint).is_file():
        _say_once(f"{checkpoint} holds no settings of its training; {instead}")
    return record


@cache
def _say_once(line: str) -> None:
    """Log a warning; a configuration is checked before it is built, and builds this component both times."""
    logger.warning(line)


def _given(parser: ConfigParser, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the running configuration says about settings of a training."""
    return {name: parser.get_parsed_content(name) for name in settings if name in parser}


def _fixed(record: Mapping[str, Any]) -> set[str]:
    """Name the settings that may not change after the training: those of network and preprocessing."""
    texts = json.dumps([record["components"].get(name) for name in ("network_def", "prepare")])
    return {name for name in record["settings"] if f'"@{name}"' in texts and name not in _FREE}


def _training_overlay(parser: ConfigParser, name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Read an overlay of a training, and refuse one whose ids only inference has: they would be passed over."""
    overlay = dict(ConfigParser.load_config_file(_config_file(name)))
    known = {*ConfigParser.load_config_file(_config_file("train")), *record["settings"], "precision"}
    wrong = [key for key in overlay if "#" not in key and key in parser and key not in known]
    if wrong:
        raise InputError(f"{name}.yaml sets {', '.join(wrong)}, which belongs to inference; give it there by itself")
    return overlay


def _config_file(name: str) -> str:
    folder = running_bundle() / "configs"
    path = find_config(folder, name)
    if path is None:
        raise InputError(f"trained#configs names {name}, and there is no {folder / name}.yaml")
    return str(path)
