"""Every command and example in README and docs: its verb, options, overlays, files and ids exist; examples run.

The commands themselves run elsewhere: ``make demo`` and what it prints in tests/e2e/test_demo.py, the wheel's in
tests/packaging/test_wheel.py, segmenting in tests/e2e, the guides' in tests that are named after them.
"""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml
from typer.main import get_command

from common.configuration.workflow import bundle_folder, check_configuration
from common.tools.cli import app
from common.tools.cli.options import read_overrides, split_names
from tests.conftest import forget_scripts

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("bundles/*/docs/README.md")),
]


def commands(page):
    """Commands of indented or fenced blocks, and whole ones in running text; continued lines joined."""
    text = page.read_text().replace("\\\n", " ")
    found = re.findall(r"^(?: {3,}|\$ )?((?:\.venv/bin/)?(?:fewshot|python -m monai\.bundle run) .*)$", text, re.M)
    found += re.findall(r"`((?:fewshot|python -m monai\.bundle run) [^`\n]* --[^`\n]*)`", text)
    for line in found:
        for name, value in re.findall(r"\b(C)=(\S+?)[`\s]", text):
            line = line.replace(f"${name}", value)
        yield re.sub(r"\s+#.*$|\s*>.*$", "", line)


FEWSHOT = [(page, line) for page in PAGES for line in commands(page) if "fewshot " in line and "..." not in line]
RUNNER = [(page, line) for page in PAGES for line in commands(page) if "monai.bundle run" in line]


def name(case):
    return f"{case[0].relative_to(ROOT)}: {case[1]}"[:150]


def test_there_are_commands():
    assert len(FEWSHOT) > 40 and len(RUNNER) > 15


@pytest.mark.parametrize("case", FEWSHOT, ids=name)
def test_fewshot_takes_it(case, monkeypatch):
    """Typer parses the command; overlays and settings are those of the bundle, and go together."""
    words = shlex.split(case[1].replace("[--", "--").partition("fewshot ")[2])
    verb, rest = get_command(app), [part for part in words if part not in ("--debug", "--verbose", "--quiet")]
    while hasattr(verb, "commands"):
        found, *rest = rest
        verb = verb.commands[found]
    values = verb.make_context(found, rest).params
    bundle = str(values.get("bundle") or "adnet")
    if found in ("train", "crossval", "evaluate") and "NAME" not in bundle:
        forget_scripts(monkeypatch)
        folder = bundle_folder(bundle)
        monkeypatch.syspath_prepend(str(folder))
        settings = read_overrides(values.get("override") or [])
        check_configuration(folder, ["train", *split_names(values["config"])], settings)


@pytest.mark.parametrize("case", RUNNER, ids=name)
def test_monais_runner_takes_it(case, monkeypatch):
    words = shlex.split(case[1])[4:]
    options = {key.removeprefix("--"): value for key, value in zip(words, words[1:], strict=False) if key[:2] == "--"}
    text = options.pop("config_file")
    files = [Path(path) for path in (ast.literal_eval(text) if text.startswith("[") else [text])]
    folder = ROOT / files[0].parents[1]
    if not folder.is_dir():
        pytest.skip("a folder of the reader's own")
    assert all((ROOT / path).is_file() for path in files)
    forget_scripts(monkeypatch)
    monkeypatch.syspath_prepend(str(folder))
    settings = {key: yaml.safe_load(value) for key, value in options.items() if value[:1] not in ("$", "@")}
    check_configuration(folder, [path.stem for path in files], settings)


def test_the_example_with_tensors_alone(monkeypatch):
    forget_scripts(monkeypatch)
    monkeypatch.syspath_prepend(str(ROOT / "bundles/adnet"))
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/explain/methods.md").read_text(), re.S)
    names: dict[str, torch.Tensor] = {}
    exec(code, names)
    assert names["probability"].shape == (1, 256, 256) and 0 <= float(names["probability"].min()) <= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/explain/*.md")), ids=lambda page: page.stem)
def test_files_that_a_page_names_are_there(page):
    paths = re.findall(r"`((?:common|tests|bundles)/[\w/]+(?:\.py|\.yaml|/))`", page.read_text())
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []
