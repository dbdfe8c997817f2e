"""Rules of every bundle's configuration.

A rule takes what it looks at and returns one line per fault. Most of them keep out a trap of MONAI's runner, of YAML
1.1, of MONAI Label or of packaging.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml

STANDALONE = ("train", "inference")
BUNDLE_ROOT = "$os.path.dirname(os.path.dirname(os.path.abspath(scripts.__file__)))"
PLUMBING = {"imports", "bundle_root", "run", "training"}
METADATA_KEYS = [
    *("schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version"),
    *("required_packages_version", "task", "description", "authors", "copyright", "name", "network_data_format"),
]
TENSOR_KEYS = ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"]


class Document(NamedTuple):
    """One configuration: its name without suffix, raw text, content, and the YAML nodes of the top-level ids."""

    name: str
    text: str
    content: dict[str, Any]
    nodes: dict[str, tuple[yaml.Node, yaml.Node]]

    @property
    def overlay(self) -> bool:
        return self.name not in STANDALONE


class StrictLoader(yaml.SafeLoader):
    """YAML 1.1 as MONAI reads it, but duplicate keys and merge keys are errors."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen or key.tag == "tag:yaml.org,2002:merge":
                kind = "duplicate" if key.value in seen else "merge"
                raise yaml.constructor.ConstructorError(
                    problem=f"{kind} key {key.value!r}", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(text: str, name: str = "train") -> Document:
    content = yaml.load(text, StrictLoader)
    root = yaml.compose(text, yaml.SafeLoader)
    return Document(name, text, content, {key.value: (key, value) for key, value in root.value})


def walk(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (path of keys, value) of everything inside nested content."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, str(key)), value
        yield from walk(value, (*path, str(key)))


def strings(content: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    return ((path, value) for path, value in walk(content) if isinstance(value, str))


def has_comment(document: Document, key: str) -> bool:
    """Tell whether a comment ends the line of a top-level value, or of the key where the value is a block below it."""
    key_node, value_node = document.nodes[key]
    block = getattr(value_node, "style", None) in ("|", ">") or getattr(value_node, "flow_style", None) is False
    mark = key_node.end_mark if block else value_node.end_mark
    rest = document.text.splitlines()[mark.line][mark.column :]
    return re.fullmatch(r":?\s*([|>][+-]?)?\s*#\s*\S.*", rest) is not None


# ---------------------------------------------------------------------------------------------------- rules of a file


def header(document: Document) -> list[str]:
    """A sentence on top says what the file is for; that of an overlay names its base."""
    first = document.text.splitlines()[0]
    if not re.match(r"#\s*\w", first):
        return ["the first line is no comment that says what the file is for"]
    comment = "".join(line for line in document.text.split("\n\n")[0].splitlines() if line.startswith("#"))
    return [] if not document.overlay or "train.yaml" in comment else ["the header does not name the base, train.yaml"]


def no_initialize(document: Document) -> list[str]:
    """``initialize:`` evaluates ``$import scripts`` before the bundle root is on the path."""
    return [f"{key}: not allowed" for key in document.content if key.startswith("initialize")]


def one_run_list(document: Document) -> list[str]:
    """3D Slicer's empty run id evaluates the whole file: a second list would run everything twice."""
    faults = [
        f"{key}: a second run list"
        for key, value in document.content.items()
        if key != "run" and isinstance(value, list) and any(re.search(r"\.run\b", str(item)) for item in value)
    ]
    if (not document.overlay or "run" in document.content) and not isinstance(document.content.get("run"), list):
        faults.append("run: must be a list")
    if document.name == "train" and document.content.get("training") != "@run":
        faults.append('training: must be "@run"')
    return faults


def imports(document: Document) -> list[str]:
    """Any working directory finds the bundle; overlays leave that to their base."""
    wanted = {"imports": ["$import os", "$import scripts"], "bundle_root": BUNDLE_ROOT}
    if document.overlay:
        return [f"{key}: belongs to the base" for key in wanted if {key, f"+{key}"} & set(document.content)]
    return [f"{key}: must be {value}" for key, value in wanted.items() if document.content.get(key) != value]


def numbers(document: Document) -> list[str]:
    """YAML 1.1 reads 1e-3 as a string; 1.0e-3 is a number."""
    number = re.compile(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+")
    return [
        f"{'#'.join(path)}: {value!r} is a string"
        for path, value in strings(document.content)
        if number.fullmatch(value)
    ]


def import_ids(document: Document) -> list[str]:
    """No id but ``imports`` contains the letters of import."""
    paths = [path for path, _ in walk(document.content) if "import" in path[-1] and path != ("imports",)]
    return [f"{'#'.join(path)}: id contains import" for path in paths]


def no_macros(document: Document) -> list[str]:
    """``%id`` copies text, which overrides do not follow; ``@id`` refers."""
    return [f"{'#'.join(path)}: macro {value!r}" for path, value in strings(document.content) if value.startswith("%")]


def displayable_configs(document: Document) -> list[str]:
    """MONAI Label writes a request's values there, so a reference or an expression would evaluate what clients send."""
    faults = []
    if document.name != "inference" and any("displayable_configs" in key for key in document.content):
        faults.append("displayable_configs: belongs to inference.yaml")
    for path, value in strings(document.content):
        if "displayable_configs" in value:
            faults.append(f"{'#'.join(path)}: refers to displayable_configs")
        if path[0] == "displayable_configs" and value.startswith(("$", "@")):
            faults.append(f"{'#'.join(path)}: must be a plain value")
    return faults


def common_in_targets(document: Document) -> list[str]:
    """Packaging rewrites the text ``_target_: common.`` and nothing else."""
    faults = [
        f"{'#'.join(path)}: common outside of _target_"
        for path, value in strings(document.content)
        if path[-1] != "_target_" and re.search(r"\bcommon\b", value)
    ]
    targets = sum(path[-1] == "_target_" and value.startswith("common.") for path, value in strings(document.content))
    code = "\n".join(line for line in document.text.splitlines() if not line.lstrip().startswith("#"))
    if targets != code.count("_target_: common."):
        faults.append('write "_target_: common." with one space and without quotes')
    return faults


def commented_hyperparameters(document: Document) -> list[str]:
    """Every top-level scalar or list of scalars has a trailing comment: meaning, unit, the paper's value."""

    def is_hyperparameter(key: str, value: Any) -> bool:
        computed = isinstance(value, str) and value.startswith(("$", "@"))
        nested = isinstance(value, dict) or any(isinstance(inner, dict) for _, inner in walk(value))
        return key not in PLUMBING and not computed and not nested

    return [
        f"{key}: no trailing comment"
        for key, value in document.content.items()
        if is_hyperparameter(key, value) and not has_comment(document, key)
    ]


FILE_RULES: list[Callable[[Document], list[str]]] = [
    header,
    no_initialize,
    one_run_list,
    imports,
    numbers,
    import_ids,
    no_macros,
    displayable_configs,
    common_in_targets,
    commented_hyperparameters,
]


# -------------------------------------------------------------------------------------------------- rules of a bundle


def from_the_weights(train: dict[str, Any], inference: dict[str, Any]) -> list[str]:
    """Network, preprocessing and inferer come with the weights: inference.yaml says nothing about them itself."""
    names = ("network_def", "prepare", "inferer")
    repeated = (reached(train, "network_def") | reached(train, "prepare")) - set(names)
    return [
        *(f"{name}: not from trained" for name in names if not str(inference.get(name)).startswith("$@trained.")),
        *(f"{name}: comes with the weights" for name in sorted(repeated) if name in inference),
    ]


def no_device(inference: dict[str, Any]) -> list[str]:
    """MONAI Label writes a request's ``device`` into the configuration: what it evaluates must not refer to it."""
    parts = ("preprocessing", "inferer", "postprocessing")
    return [f"{part}: refers to device" for part in parts if "device" in reached(inference, part)]


def reached(content: dict[str, Any], start: str) -> set[str]:
    """Collect an id and the top-level ids that it refers to, directly or through others."""
    pending, seen = [start], set()
    while pending:
        key = pending.pop()
        if key not in seen:
            seen.add(key)
            values = [value for _, value in walk([content.get(key)]) if isinstance(value, str)]
            pending += [name for value in values for name in re.findall(r"@(\w+)", value)]
    return seen


def overlay_ids(base: Document, overlay: Document) -> list[str]:
    """An overlay overrides ids of its base; an id that it adds has a parent there and a comment."""
    faults = []
    known = {"#".join(path) for path, _ in walk(base.content)}
    for key in overlay.content:
        name = key.lstrip("+").replace("::", "#")
        parent, _, leaf = name.rpartition("#")
        line = overlay.nodes[key][0].start_mark.line
        above = overlay.text.splitlines()[line - 1] if line else ""
        if parent and parent not in known:
            faults.append(f"{key}: {parent} is not in train.yaml")
        elif name not in known and not has_comment(overlay, key) and not above.startswith("#"):
            faults.append(f"{key}: new, and no comment says why")
        known.add(name)
        known |= {f"{name}#{'#'.join(path)}" for path, _ in walk(overlay.content[key])}
    return faults


def inverts(inference: dict[str, Any]) -> list[str]:
    """MONAI Label's own restoring does not undo an orientation."""
    targets = [str(value) for path, value in walk(inference.get("postprocessing")) if path[-1] == "_target_"]
    return [] if any(target.rpartition(".")[2] == "Invertd" for target in targets) else ["postprocessing: no Invertd"]


def metadata_keys(metadata: dict[str, Any]) -> list[str]:
    """The model zoo's required keys; MONAI and MONAI Label read the first input and output, and want these names."""
    faults = [f"{key}: missing" for key in METADATA_KEYS if key not in metadata]
    if metadata.get("version") not in metadata.get("changelog", {}):
        faults.append("changelog: does not list the version")
    tensors = metadata.get("network_data_format", {})
    for side, name in (("inputs", "image"), ("outputs", "pred")):
        formats = tensors.get(side, {})
        if next(iter(formats), None) != name:
            faults.append(f"network_data_format#{side}: the first must be {name}")
        faults += [
            f"{side}#{item}#{key}: missing" for item in formats for key in TENSOR_KEYS if key not in formats[item]
        ]
    if tensors.get("outputs", {}).get("pred", {}).get("channel_def") != {"0": "background", "1": "foreground"}:
        faults.append("channel_def: must be background, foreground")
    return faults


def folder_name(name: str) -> list[str]:
    """MONAI Label changes its behaviour on some words; the model zoo cuts a version off the end."""
    words = [word for word in ("deepedit", "deepgrow", "detection") if word in name]
    return [f"{name}: contains {word}" for word in words] + ([f"{name}: version"] if re.search(r"_v\d", name) else [])
