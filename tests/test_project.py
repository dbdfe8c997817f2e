"""The repository keeps its own rules: sizes, words, imports, versions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import common

Run = Callable[..., "subprocess.CompletedProcess[str]"]
REPOSITORY = Path(__file__).parents[1]
BUNDLES = sorted(path.parent for path in (REPOSITORY / "bundles").glob("*/scripts"))
HEAVY = {"torch", "monai", "numba", "matplotlib", "scipy", "skimage", "itk", "nibabel"}
NOT_FOR_INFERENCE = ["numba", "typer", "matplotlib", "pydicom", "highdicom"]
UNSPELLED = re.compile(r"(?<![A-Za-z])(supp|qry|fts|lbl|sprvxl)(?![A-Za-z])")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
DATA = re.compile(r"\.(nii|nii\.gz|dcm|pt|pth|npz|h5)$")


def tracked_files() -> list[Path]:
    """Files that git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: tracked files are unknown")
    return [REPOSITORY / name for name in listing.split("\0") if name and (REPOSITORY / name).is_file()]


def sources(*folders: str, suffix: str = ".py") -> list[Path]:
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob(f"*{suffix}"))]


def imported_modules(source: str) -> Iterator[str]:
    """Yield what a source text imports absolutely, ``a.b`` for both ``import a.b`` and ``from a.b import c``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield f"from {node.module} import"


def refuse_imports(statement: str, blocked: list[str]) -> str:
    """Code of a program that runs ``statement`` where the blocked packages cannot be imported."""
    return f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"inference must do without {{name}}", name=name)

sys.meta_path.insert(0, Blocker())
{statement}
"""


def test_no_large_file_no_scan_no_weights_but_the_synthetic_ones() -> None:
    files = [path for path in tracked_files() if path.name != "synthetic.pt"]
    assert [path for path in files if path.stat().st_size > 1_000_000] == []
    assert [path for path in files if DATA.search(path.name)] == []


def test_python_files_are_short() -> None:
    files = [path for path in tracked_files() if path.suffix == ".py"]
    assert {path: count for path in files if (count := len(path.read_text().splitlines())) > 400} == {}


def test_words_are_spelled_out_and_work_is_finished() -> None:
    files = sources("common", "bundles") + sources("bundles", suffix=".yaml")
    faults = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNSPELLED.search(line) or UNFINISHED.search(line)
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("line", "found"), [("supp_mask = 1", True), ("x.qry", True), ("shifts = support", False), ("label", False)]
)
def test_unspelled_words_are_found(line: str, found: bool) -> None:
    assert bool(UNSPELLED.search(line)) is found


def test_common_imports_itself_relatively() -> None:
    own = re.compile(r"(import|from) common\b")
    faults = {
        path: [name for name in imported_modules(path.read_text()) if own.match(name)] for path in sources("common")
    }
    assert {path: names for path, names in faults.items() if names} == {}


def test_bundles_import_common_in_the_form_that_packaging_rewrites() -> None:
    """``from common.x import y`` becomes ``from .common.x import y``; ``import common`` would not."""
    other = re.compile(r"import common\b|from common import")
    scripts = [path for bundle in BUNDLES for path in sorted((bundle / "scripts").glob("*.py"))]
    assert {path for path in scripts for name in imported_modules(path.read_text()) if other.match(name)} == set()


def test_import_common_is_light(run_python: Run) -> None:
    result = run_python("-c", "import sys, common; print(*sys.modules)")
    assert HEAVY & {name.partition(".")[0] for name in result.stdout.split()} == set()


def test_inference_needs_few_packages(run_python: Run) -> None:
    modules = "common.inferers, common.transforms, common.networks, common.prototypes"
    run_python("-c", refuse_imports(f"import {modules}", NOT_FOR_INFERENCE))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_bundles_network_needs_few_packages(bundle: Path, run_python: Run) -> None:
    run_python("-c", refuse_imports("sys.path.insert(0, '.')\nimport scripts.network", NOT_FOR_INFERENCE), cwd=bundle)


def test_the_blocker_blocks(run_python: Run) -> None:
    result = run_python("-c", refuse_imports("import typer", NOT_FOR_INFERENCE), check=False)
    assert result.returncode == 1 and "inference must do without typer" in result.stdout


def test_version_is_the_same_everywhere() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert re.findall(r'^version = "(.+)"$', project, re.MULTILINE) == [common.__version__]
    assert f"## [{common.__version__}]" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_constraints_pin_every_dependency_and_name_no_host() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    lists = re.findall(
        r"^(?:dependencies|dicom|export|napari|ray|report|dev) = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL
    )
    wanted = {name.lower() for text in lists for name in re.findall(r'^ *"([\w-]+)', text, re.MULTILINE)}
    lines = [line for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {match[1] for line in lines if (match := re.fullmatch(r"([\w-]+)==[\w.]+(; python_version .+)?", line))}
    assert len(lists) == 6 and all("==" in line and "/" not in line for line in lines)
    assert wanted - pinned == {"fewshot-bundles"}
    assert "torchvision" not in wanted | pinned


def test_licence_is_apache() -> None:
    assert "Apache License" in (REPOSITORY / "LICENSE").read_text()[:200]


def test_python_is_the_supported_one() -> None:
    """Sources parse as Python 3.10, the oldest that is supported, whatever runs the tests."""
    for path in sources("common", "bundles", "tests"):
        ast.parse(path.read_text(), str(path), feature_version=(3, 10))
    assert sys.version_info >= (3, 10)
