"""Ablations: every line of the papers' tables has its overlay, and the other way round."""

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.configuration.workflow import has_config
from common.errors import InputError
from common.tools.challenges import CHALLENGES
from common.tools.cli import app
from common.tools.crossval.differences import differences
from common.tools.crossval.published import has_figures, is_paper_configuration, published
from common.tools.crossval.runs import ablation_overlays, list_runs
from tests.e2e.tiny import ABOUT

ROOT = Path(__file__).parents[2]
BUNDLES = ROOT / "bundles"
METHODS = {
    name: {"bundle": bundle, "overlays": overlays}
    for bundle, about in ABOUT.items()
    for name, overlays in about["methods"].items()
}
KNOWN = {
    ("adnet", "loss"): ["loss_no_alignment", "loss_no_threshold", "loss_query_only"],
    ("adnet", "rho"): ["rho_500", "rho_1000", "rho_1500", "rho_2000"],
    ("adnet", "kappa"): ["kappa_0.1", "kappa_0.3", "kappa_0.7", "kappa_0.9", "kappa_1.0"],
    ("ssl_alpnet", "transforms"): ["transforms_geometry", "transforms_intensity", "transforms_none"],
    ("ssl_alpnet", "size"): ["size_100", "size_1600"],
    ("crapnet", "blocks"): ["blocks_1", "blocks_7", "blocks_9", "blocks_12", "blocks_15"],
    ("crapnet", "branches"): ["branches_1"],
    ("crapnet", "attention"): ["attention_unscaled"],
    ("lsnet", "alpha"): ["alpha_1", "alpha_1_4", "alpha_1_16"],
    ("lsnet", "overlap"): ["overlap_none"],
}


@pytest.mark.parametrize(("bundle", "ablation"), KNOWN)
def test_overlays_in_natural_order(bundle, ablation):
    assert ablation_overlays(BUNDLES / bundle, ablation) == KNOWN[bundle, ablation]


def test_what_changes_nothing_is_left_out():
    assert "rho_1000" not in ablation_overlays(BUNDLES / "adnet", "rho", ["mscmr", "paper"])
    assert "rho_5000" not in ablation_overlays(BUNDLES / "adnet", "rho", ["chaos_t2", "paper"])


def test_unknown_ablation_names_those_there_are():
    with pytest.raises(InputError, match=r"no ablation 'size'; there are: kappa, loss, rho, slices"):
        ablation_overlays(BUNDLES / "adnet", "size")


def test_every_method_of_a_paper_can_be_run():
    overlays = {name: set(method.get("overlays", [])) - {"untrained"} for name, method in METHODS.items()}
    lost = [name for name, method in METHODS.items() if not all(
        has_config(BUNDLES / method["bundle"], overlay) for overlay in overlays[name]
    )]  # fmt: skip
    assert lost == []


def test_every_ablation_is_a_method():
    overlays = {path.stem for path in BUNDLES.glob("*/configs/ablations/*.yaml")}
    assert overlays - {overlay for method in METHODS.values() for overlay in method.get("overlays", [])} == set()


@pytest.mark.parametrize(
    ("bundle", "dataset", "configs", "changed"),
    [
        ("adnet", "mscmr", ["mscmr", "paper", "rho_500"], set()),
        ("adnet", "mscmr", ["mscmr", "paper", "loss_no_alignment"], set()),
        ("crapnet", "chaos_t2", ["chaos_t2", "paper", "branches_1"], set()),
        ("lsnet", "visceral", ["visceral", "paper", "added_classes", "alpha_1_4"], set()),
        ("adnet", "mscmr", ["mscmr", "kappa_0.1", "quick"], {"init"}),
    ],
)
def test_the_papers_configuration_differs_in_nothing(bundle, dataset, configs, changed):
    run = list_runs(BUNDLES / bundle, dataset, [0], config=configs)[0]
    names = {change.name for change in differences(run, BUNDLES)}
    assert names >= changed and (names == set() or changed)
    assert published(run, "k12" if bundle == "lsnet" else "ep1") is not None


GUIDE = re.findall(r"`(fewshot crossval [^`]*)`", (ROOT / "docs/how-to/reproduce.md").read_text())


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A folder with the bundles, and in ``data`` what ``fewshot prepare`` says of each dataset's labels."""
    for name, challenge in (("chaos_t2", "chaos"), ("sabs", "sabs"), ("mscmr", "mscmr"), ("visceral", "visceral")):
        description = tmp_path / "data" / name / "dataset.json"
        description.parent.mkdir(parents=True)
        description.write_text(json.dumps({"labels": dict(CHALLENGES[challenge].labels)}))
    (tmp_path / "bundles").symlink_to(BUNDLES)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", GUIDE)
def test_the_guides_commands_list_their_runs(prepared, tmp_path, monkeypatch, command):
    arguments = [*shlex.split(command)[1:], "--engine", "slurm", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["fewshot", *arguments])
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "#SBATCH --array=0-" in (tmp_path / "crossval.sbatch").read_text()


@pytest.mark.parametrize("command", GUIDE)
def test_the_guides_commands_are_the_papers_configurations(command):
    """Every run that they list: nothing differs from the method's own configuration, and a paper reports it."""
    options = dict(re.findall(r"--(\w+) (\S+)", command))
    bundle, config = ROOT / options["bundle"], options["config"].split(",")
    overrides = dict([options["override"].split("=")]) if "override" in options else {}
    untrained = "--untrained" in command
    overlays = ablation_overlays(bundle, options["ablation"], config) if "ablation" in options else []
    for configs in [config, *([*config, overlay] for overlay in overlays)]:
        for run in list_runs(
            bundle, options["dataset"], setting=int(options.get("setting", 1)), config=configs, untrained=untrained
        ):
            run = replace(run, overrides={**run.overrides, **overrides})
            assert is_paper_configuration(run)
            assert {change.name for change in differences(run, BUNDLES)} <= {"init"} & set(overrides)
            # Of these the papers print no figures.
            assert has_figures(run) or configs[-1].startswith(("size", "finetune"))


def test_the_method_comes_before_its_ablations(tmp_path, monkeypatch):
    arguments = ["crossval", "--bundle", str(BUNDLES / "adnet"), "--dataset", "mscmr", "--ablation", "loss"]
    monkeypatch.setattr(sys, "argv", ["fewshot", *arguments])
    assert CliRunner().invoke(app, [*arguments, "--engine", "slurm", "--output", str(tmp_path)]).exit_code == 0
    script = (tmp_path / "crossval.sbatch").read_text()
    assert "--array=0-19\n" in script and "--ablation loss" in script
