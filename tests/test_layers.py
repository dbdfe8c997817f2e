"""How the packages of ``common`` stand on each other: no cycle between them, and what ships does not know the tools."""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

COMMON = Path(__file__).parents[1] / "common"
BUNDLES = {path.parent.name for path in COMMON.parent.glob("bundles/*/configs")}


def imports(path):
    """Modules of ``common`` that a file imports, anywhere in it."""
    module = ("common", *path.relative_to(COMMON).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*module[: -node.level], *(node.module or "").split("."))
            base = tuple(part for part in base if part)
            yield from ([*base, alias.name] for alias in node.names) if len(base) == 1 else [[*base]]


def package(parts):
    """The part of ``common`` that a module belongs to: a folder, or a module beside them."""
    return parts[1].removesuffix(".py")


def edges():
    found = defaultdict(lambda: defaultdict(list))
    for path in COMMON.rglob("*.py"):
        if "unit_tests" in path.parts:
            continue
        here = package(("common", *path.relative_to(COMMON).parts))
        for target in imports(path):
            if here not in ("__init__", package(target)):
                found[here][package(target)].append(str(path.relative_to(COMMON)))
    return found


def test_no_cycles_between_packages():
    graph = edges()
    try:
        tuple(TopologicalSorter({name: list(targets) for name, targets in graph.items()}).static_order())
    except CycleError as error:
        ring = error.args[1][::-1]
        pytest.fail("; ".join(f"{a} imports {b} in {graph[a][b]}" for a, b in zip(ring, ring[1:], strict=False)))


def test_what_ships_does_not_know_the_tools():
    assert {name: targets["tools"] for name, targets in edges().items() if "tools" in targets} == {}
