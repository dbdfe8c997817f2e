"""The page of results says nothing that the result files and configurations do not."""

import re
import shutil
from pathlib import Path

import pytest

from common.errors import InputError
from common.tools.crossval.differences import differences, episodes
from common.tools.crossval.provenance import config_hash
from common.tools.crossval.results import by_entry, read_results
from common.tools.crossval.results_page import BEGIN, CHART, END, OVERVIEW, write_results_page
from common.tools.crossval.runs import Run
from common.tools.crossval.statistics import summarise_entry

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLES = REPOSITORY / "bundles"


def test_committed_page_is_what_the_command_writes(tmp_path):
    docs, results = REPOSITORY / "docs", shutil.copytree(REPOSITORY / "docs/results", tmp_path / "results")
    chart = (results / CHART.format("chaos_t2")).read_text()
    (results / CHART.format("chaos_t2")).unlink()
    page = Path(shutil.copy(docs / "results.md", tmp_path))
    write_results_page(results, page, BUNDLES, docs / "tables.yaml")
    assert page.read_text() == (docs / "results.md").read_text()
    assert (results / CHART.format("chaos_t2")).read_text() == chart
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "results.md"]


def test_no_measured_number_stands_outside_of_the_markers():
    text = (REPOSITORY / "docs" / "results.md").read_text()
    outside = text[: text.index(OVERVIEW[0])] + text[text.index(OVERVIEW[1]) : text.index(BEGIN)]
    outside += text[text.index(END) :]
    assert not re.findall(r"\d+[.,]\d+|\d+ ?%|\d+ (?:min|s|GB|points)\b", outside)


def test_figures_of_readme_and_weights_are_those_of_the_result_files(tmp_path):
    results = shutil.copytree(REPOSITORY / "docs/results", tmp_path / "results")
    for name in ("docs/weights.md", "README.md"):
        page = Path(shutil.copy(REPOSITORY / name, tmp_path))
        write_results_page(results, page, BUNDLES, REPOSITORY / "docs/tables.yaml")
        assert page.read_text() == (REPOSITORY / name).read_text()
    phantom = [result for result in read_results(results) if result.run.dataset == "phantom"]
    (demo,) = (one for one in by_entry(phantom) if one[0].run.bundle == "adnet" and not one[0].run.untrained)
    ep1, ep2 = (summarise_entry(demo, protocol).over_runs.mean / 100 for protocol in ("ep1", "ep2"))
    assert f"`make demo-train` reaches {ep1:.2f} under EP1 and {ep2:.2f} under EP2" in " ".join(
        page.read_text().split()
    )


def test_text_around_the_markers_stays(tmp_path, write_run, same):
    made_now = config_hash(BUNDLES / "adnet", run("adnet", "chaos_t2", "paper"))
    measured = {"device": "cpu", "train_seconds": 90, "evaluate_seconds": 7, "config_sha256": made_now}
    write_run(same(0.5), manifest=measured, configs=["train", "chaos_t2", "paper"])
    page = tmp_path / "page.md"
    page.write_text(f"# Mine\n\n{BEGIN}\nold 99.99\n{END}\n\nbelow\n")
    write_results_page(tmp_path, page, BUNDLES)
    text = page.read_text()
    assert text.startswith(f"# Mine\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nbelow\n")
    assert "99.99" not in text
    assert "| ADNet (chaos_t2, paper) | 50000 | 2021 | 1.5 min | 7 s | cpu |" in " ".join(text.split())
    assert "As in the paper: ADNet (chaos_t2, paper)." in text
    write_results_page(tmp_path, page, BUNDLES)
    assert page.read_text() == text


def test_a_configuration_that_has_changed_since_is_not_compared(tmp_path, write_run, same):
    write_run(same(0.5), manifest={"config_sha256": "older"}, configs=["train", "chaos_t2", "cpu"])
    write_results_page(tmp_path, tmp_path / "new.md", BUNDLES)
    text = (tmp_path / "new.md").read_text()
    assert "Not compared, since the configuration has changed after the runs: ADNet (chaos_t2, cpu)." in text
    assert "OneCycleLR" not in text


def test_the_overview_shows_every_method_from_every_start(tmp_path, write_run, same):
    """Brackets say where folds are missing; what is not in the queue or was not measured is not shown."""
    for fold in range(5):
        write_run(same(0.4 + 0.1 * fold), fold, protocols=("ep1", "ep2"), variant="chaos_t2+cpu+short")
    write_run(same(0.8), protocols=("ep1", "ep2k5"), bundle="ssl_alpnet", variant="panet+chaos_t2+cpu+short")
    as_it_comes = {
        "variant": "cpu+untrained",
        "configs": ["train", "chaos_t2", "cpu"],
        "overrides": {"checkpoint": None},
    }
    write_run(same(0.1), **as_it_comes)
    write_run(same(0.9), bundle="crapnet", variant="chaos_t2+cpu+short")
    queue = tmp_path / "queue.yaml"
    queue.write_text(
        "starts: [{name: few, config: [cpu, short]}, {name: none, config: [cpu], untrained: true}]\n"
        "methods: [{bundle: adnet}, {bundle: ssl_alpnet, config: [panet]}, {bundle: ssl_alpnet}]\n"
    )
    page = tmp_path / "page.md"
    page.write_text(f"{OVERVIEW[0]}\n{OVERVIEW[1]}\n")
    write_results_page(tmp_path, page, BUNDLES, queue)
    lines = [" ".join(line.split()) for line in page.read_text().splitlines() if line.startswith("|")]
    assert lines[0] == "| | few, EP1 | few, EP2 | few, EP2K5 | none, EP1 |"
    assert lines[2:] == [
        "| ADNet | 60.0 ± 14.1 | 60.0 ± 14.1 | – | 10.0 (1 of 5) |",
        "| SSL-PANet | 80.0 (1 of 5) | – | 80.0 (1 of 5) | – |",
    ]
    assert "SSL-PANet" in (tmp_path / CHART.format("chaos_t2")).read_text() and BEGIN not in page.read_text()
    with pytest.raises(InputError, match="page.md has an overview, which would be out of date: give its queue"):
        write_results_page(tmp_path, page, BUNDLES)
    queue.write_text("methods: [{bundle: lsnet, config: [paper]}]\n")
    with pytest.raises(InputError, match="none of the results in .* is of this queue"):
        write_results_page(tmp_path, page, BUNDLES, queue)


def test_a_new_page_is_made(tmp_path, write_run, same):
    write_run(same(0.5))
    write_results_page(tmp_path, tmp_path / "new.md", BUNDLES)
    assert "| ADNet | 50.00 |" in " ".join((tmp_path / "new.md").read_text().split())


@pytest.mark.parametrize("text", ["# Mine\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_a_page_without_markers_is_not_touched(tmp_path, write_run, same, text):
    write_run(same(0.5))
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(InputError, match="page.md needs one line"):
        write_results_page(tmp_path, page, BUNDLES)
    assert page.read_text() == text


def run(bundle, *overlays, dataset="chaos_t2", **overrides):
    return Run(bundle, "+".join(overlays), dataset, 1, None, 0, 0, 1, ["train", *overlays], overrides)


def test_differences_come_from_the_configurations():
    changes = {
        change.name: (change.paper, change.ours) for change in differences(run("adnet", "chaos_t2", "cpu"), BUNDLES)
    }
    assert changes["init"] == ("MS-COCO weights", "random weights")
    assert changes["encoder_depth"] == ("101", "18")
    assert changes["lr_scheduler"] == ("StepLR", "OneCycleLR")
    assert changes["episodes"] == ("50000", "8000")
    assert "challenge" not in changes
    assert differences(run("adnet", "chaos_t2", "paper"), BUNDLES) == []
    assert differences(run("ssl_alpnet", "chaos_t2", "paper", "panet"), BUNDLES) == []


def test_overrides_are_differences():
    changes = {change.name: change.ours for change in differences(run("adnet", max_epochs=1, kappa=1.0), BUNDLES)}
    assert changes == {"kappa": "1.0", "episodes": "1000", "axcodes": "RAS"}
    assert episodes(run("adnet", max_epochs=1), BUNDLES) == "1000"


def test_a_lost_configuration_is_named():
    with pytest.raises(InputError, match="no configuration .*lost.yaml"):
        differences(run("adnet", "lost"), BUNDLES)
