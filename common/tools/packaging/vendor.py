"""Turn a bundle of the repository into one that needs nothing of it: ``common`` moves to ``scripts/common``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ...configuration.files import ABLATIONS, SHARED, all_configs
from ...files.checkpoints import SHIPPED

_LEFT_BEHIND = ("tools", "bundles")  # of common: what no bundle runs
_ABOUT = "about.yaml"  # for the project's tables and tests
_WRITTEN_BY_RUNS = ("models", "cache", "eval", "output", "predictions")
_COMMON = Path(__file__).parents[2]
# Files that a bundle need not have of its own, and where they lie: the licence in the checkout or in the wheel.
_FALLBACKS = {
    "LICENSE": (_COMMON, _COMMON.parent),
    "configs/logging.conf": (SHARED,),
    "docs/data_license.txt": (SHARED,),
}
_RELATIVE_IMPORT = r"from \.\S* import (?:\([^)]*\)|.*)\n"


def copy_bundle(bundle: Path, target: Path) -> None:
    """Copy a bundle with ``common`` inside, links as files, and rewrite what names either of their places.

    Args:
        bundle: folder in the repository.
        target: empty or new folder.
    """
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", _ABOUT, ABLATIONS, *_WRITTEN_BY_RUNS)
    shutil.copytree(bundle, target, ignore=ignore, dirs_exist_ok=True)
    if (bundle / SHIPPED).is_file():
        (target / SHIPPED).parent.mkdir()
        shutil.copy(bundle / SHIPPED, target / SHIPPED)
    shared = [path for path in all_configs(bundle / "configs") if path.parent == SHARED]
    for path in shared:
        text = path.read_text().replace("bundles/BUNDLE/", f"bundles/{bundle.name}/")
        (target / "configs" / path.name).write_text(text.replace("common/configs/", "configs/"))
    for name, folders in _FALLBACKS.items():
        if not (target / name).is_file():
            found = [folder / Path(name).name for folder in folders]
            shutil.copy(next(path for path in found if path.is_file()), target / name)
    shutil.copytree(_COMMON, target / "scripts" / "common", ignore=ignore)
    for name in _LEFT_BEHIND:
        shutil.rmtree(target / "scripts" / "common" / name, ignore_errors=True)
    for path in sorted((target / "scripts").glob("*.py")):
        path.write_text(_script(path.read_text()))
    for path in sorted((target / "configs").glob("*.yaml")):
        path.write_text(vendored(path.read_text(), bundle))
    readme = target / "docs" / "README.md"
    text = readme.read_text().replace("From the repository root:", "From this bundle's folder:")
    readme.write_text(text.replace(f"bundles/{bundle.name}/", "").replace(f"bundles/{bundle.name}", "."))


def vendored(config: str, bundle: Path) -> str:
    """Rewrite what names ``common`` or the bundle's place in a configuration.

    Args:
        config: YAML text.
        bundle: folder in the repository.
    """
    return config.replace("_target_: common.", "_target_: scripts.common.").replace(f"bundles/{bundle.name}/", "")


def _script(text: str) -> str:
    """Import ``common`` relatively, among the script's other relative imports and sorted with them."""
    text = re.sub(r"^( *)from common\b", r"\1from .common", text, flags=re.MULTILINE)

    def merge(match: re.Match[str]) -> str:
        statements = re.findall(_RELATIVE_IMPORT, match[0])
        return "".join(sorted(statements, key=lambda statement: statement.split()[1]))

    return re.sub(rf"^{_RELATIVE_IMPORT}(?:\n?{_RELATIVE_IMPORT})*", merge, text, count=1, flags=re.MULTILINE)
