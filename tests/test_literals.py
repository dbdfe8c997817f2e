"""Paths are data: what a person or a file system calls them reaches the bundle as it is."""

from __future__ import annotations

import os
from pathlib import Path

import fire
import pytest
from monai.bundle import ConfigParser

from common.files.literals import as_named, literal, split_paths

HOSTILE = [
    "$__import__('os').mkdir('made')",
    "$1 + 1",
    "@other",
    "@#other",
    "a@other#b",
    "%other",
    "%scan.json::x",
    "%%:: @:: #",
    "scan #1 (2).nii.gz",
    'it\'s "so" \\ here\\',
    "a,b",
    "12",
    "None",
    "import os",
    "--image",
    "~/x",
    "naïve 肝.nii",
    "new\nline",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_literal_is_the_text_after_fire_and_parser(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def parsed(value):
        return ConfigParser({"other": "wrong", "path": value, "used": "@path", "joined": "$@path + '/x'"})

    parser = parsed(fire.parser.DefaultParseValue(literal(text)))
    for name in ("path", "used"):
        assert parser.get_parsed_content(name) == text
    assert parser.get_parsed_content("joined") == f"{text}/x"
    assert parsed(literal([text, Path("p")])).get_parsed_content("used") == [text, "p"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [None, True, 1.5, [1, "a"], {"a": ["#", None]}])
def test_literal_of_other_values(value):
    assert ConfigParser({"value": literal(value)}).get_parsed_content("value") == value


def test_names_that_are_no_text():
    name = os.fsdecode(b"scan\xff.nii")
    assert ConfigParser({"value": literal(name)}).get_parsed_content("value") == name


@pytest.fixture
def names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("scan, portal.nii.gz", "a.nii.gz", "b.nii.gz", "a.nii.gz,x", "n#1.nii.gz", "$x.nii.gz", " c.nii"):
        Path(name).touch()


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ("scan, portal.nii.gz", ["scan, portal.nii.gz"]),
        ("a.nii.gz,b.nii.gz", ["a.nii.gz", "b.nii.gz"]),
        ("a.nii.gz, b.nii.gz", ["a.nii.gz", "b.nii.gz"]),
        ("a.nii.gz,scan, portal.nii.gz,b.nii.gz", ["a.nii.gz", "scan, portal.nii.gz", "b.nii.gz"]),
        ("a.nii.gz,x", ["a.nii.gz,x"]),
        ("gone.nii.gz,a.nii.gz", ["gone.nii.gz", "a.nii.gz"]),
        ("gone.nii.gz", ["gone.nii.gz"]),
        ("$x.nii.gz", ["$x.nii.gz"]),
        (" c.nii", [" c.nii"]),
        ("n::1.nii.gz", ["n#1.nii.gz"]),
        (["scan, portal.nii.gz", "a,b"], ["scan, portal.nii.gz", "a,b"]),
        (("a.nii.gz", "n::1.nii.gz"), ["a.nii.gz", "n#1.nii.gz"]),
        (",", [","]),
        (None, []),
        (12, ["12"]),
    ],
)
def test_split_paths(names, given, paths):
    assert split_paths(given) == paths


def test_long_lists_and_null_characters_are_no_error(names):
    many = ["a.nii.gz", "b.nii.gz"] * 400
    assert split_paths(",".join(many)) == many
    assert split_paths("a\0b") == ["a\0b"] and as_named("a::b") == "a::b"
