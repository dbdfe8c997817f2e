"""The page of ``fewshot report``: complete, honest, and one file."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.tools.crossval.report import charts, gallery, write_report
from common.tools.crossval.report.report import data_folders

ROOT = Path(__file__).parents[2]
ORGANS = ("left kidney", "right kidney", "spleen", "liver")


class Page(HTMLParser):
    """Tags with their attributes and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts = [], []
        self.source = path.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_page_shows_tables_charts_losses_threshold_cases_and_manifest(results):
    path = write_report(results)
    assert path == results / "report.html"
    page = Page(path)
    assert [attributes["id"] for attributes in page.all("section")] == [
        "result", "tables", "boxes", "overlays", "supervoxels", "training", "cases", "manifest",
    ]  # fmt: skip
    for shown in (
        "ADNet (chaos_t2, cpu)", "has the highest mean Dice", "untrained ADNet",
        "-9.877", "0.5000", "1.6 min", "c" * 64, "d" * 64, "2.13.0", "f4_3",
    ):  # fmt: skip
        assert shown in page.text, shown
    labels = [attributes["aria-label"] for attributes in page.all("svg")]
    for scale in ("EP1 (cpu)", "EP2 (cpu)", "EP1"):
        assert sum(f"setting 1, {scale}, liver" in label for label in labels) == 1
    assert sum("Training loss" in label for label in labels) == 1
    assert "ADNet's paper" not in page.text  # of another scale


def test_a_page_that_a_person_wrote_is_replaced_when_asked_only(results):
    (results / "report.html").write_text("<p>my notes</p>")
    with pytest.raises(InputError, match=r"report\.html exists and was not made by this command"):
        write_report(results)
    write_report(results, overwrite=True)
    write_report(results)


def test_a_page_moves_with_its_results(results, tmp_path):
    write_report(results)
    moved = shutil.copytree(results, tmp_path / "moved")
    assert write_report(moved).read_text() != (results / "report.html").read_text()  # it names its folder


def test_the_papers_figures_stand_below_runs_of_its_scale(results, tmp_path, write_run):
    for fold in range(5):
        write_run({organ: [0.05] for organ in ORGANS}, fold, folder=tmp_path)
    page = Page(write_report(tmp_path))
    for shown in ("ADNet's paper, table 1", "75.28 ± 14.80", "difference", "-70.28"):
        assert shown in page.text, shown
    assert "fault" not in page.text


def test_every_row_of_the_results_is_in_the_tables_of_cases(results):
    page = Page(write_report(results))
    rows = [row for path in results.glob("*.json") for row in json.loads(path.read_text())["cases"]]
    section = page.source[page.source.index('<section id="cases">') : page.source.index('<section id="manifest">')]
    assert section.count('<th scope="row">') == len(rows)
    for row in rows:
        shown = "–" if row["dice"] is None else f"{100 * row['dice']:.2f}"
        cells = [row["protocol"].upper(), row["case"], row["organ"], shown]
        assert "".join(f"<td>{cell}</td>" for cell in cells) in section


def test_missing_things_are_said(results):
    for path in results.glob("*cpu*.json"):
        edit(path, training={}, manifest={})
    page = Page(write_report(results))
    assert "No losses are recorded." in page.text
    assert page.text.count("none recorded") == 3 * 6
    assert f"there is no {results}/work/RUN/models/model.pt, which fewshot crossval makes" in page.text
    assert "n = 1, 1 n/a" in page.source  # of the untrained network's two cases one is undefined
    assert not page.all("img")


def test_why_nothing_is_drawn(results, tmp_path):
    for path in results.glob("*cpu*.json"):
        weights = results / "work" / path.stem / "models/model.pt"
        weights.parent.mkdir(parents=True)
        weights.touch()
    assert "give their folder with --data chaos_t2=FOLDER" in Page(write_report(results, bundles=ROOT / "bundles")).text
    page = Page(write_report(results, data=[str(tmp_path)], bundles=tmp_path / "none"))
    assert f"there is no bundle {tmp_path}/none/adnet: give the folder of the bundles with --bundles" in page.text


def test_one_file_without_network(results):
    page = Page(write_report(results))
    for tag, attributes in page.tags:
        assert not {"srcset", "action", "background"} & set(attributes)
        for name in {"src", "href"} & set(attributes):
            assert attributes[name].startswith(("#", "data:")), (tag, attributes)
    assert not re.search(r"url\((?!#)|@import|https?://", page.source)
    assert "default-src 'none'" in page.source


def test_structure_for_screen_readers(results):
    page = Page(write_report(results))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for attributes in page.all("a")} <= set(ids)
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert all(attributes["scope"] in ("row", "col") for attributes in page.all("th"))
    regions = [attributes for attributes in page.all("div") if attributes.get("role") == "region"]
    assert len(regions) == len(page.all("table"))
    assert all(region["tabindex"] == "0" and region["aria-labelledby"] in ids for region in regions)


def test_names_from_files_are_text(tmp_path, write_run):
    path = write_run({"<img src=x onerror=alert(1)>": [0.5]}, folder=tmp_path, dataset="mine")
    content = json.loads(path.read_text())
    content["cases"][0]["case"] = "</td><script>alert(1)</script>"
    path.write_text(json.dumps(content))
    page = Page(write_report(tmp_path))
    assert len(page.all("script")) == 1 and not page.all("img")


def test_same_results_same_page(results, tmp_path):
    pages = [write_report(results, tmp_path / "new" / name).read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.html", "b.html"]


def test_below_5_mb_with_pictures_of_20_cases_and_more(results, tmp_path, monkeypatch, write_run):
    rng = np.random.default_rng(0)
    for bundle in ("crapnet", "lsnet", "ssl_alpnet"):
        for fold in range(5):
            dice = {organ: rng.uniform(0.3, 0.9, 4).tolist() for organ in ORGANS}
            write_run(dice, fold, protocols=("ep1", "ep2"), folder=results, bundle=bundle)

    def noise(_result, _results_dir, _data, _bundles, wanted):  # noise packs worst
        for picture in wanted:
            picture.path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (430, 440, 3), np.uint8)).save(picture.path)
        return {}

    for path in results.glob("*.json"):
        weights = results / "work" / path.stem / "models/model.pt"
        weights.parent.mkdir(parents=True)
        weights.touch()
    monkeypatch.setattr(gallery, "_draw_apart", noise)
    path = write_report(results, data=[str(tmp_path)], bundles=ROOT / "bundles")
    page = Page(path)
    assert 2_500_000 < path.stat().st_size < 5_000_000
    assert len(page.all("img")) > 10 and "left out: the page holds 3 MB of pictures" in page.text
    assert all(len(attributes["alt"]) > 20 for attributes in page.all("img"))
    monkeypatch.setattr(gallery, "_draw_apart", lambda *_: pytest.fail("drawn again"))
    assert write_report(results, data=[str(tmp_path)], bundles=ROOT / "bundles").read_bytes() == path.read_bytes()


def test_data_folders(tmp_path):
    assert data_folders([], ["chaos_t2", "phantom"]) == {"chaos_t2": None, "phantom": "phantom"}
    assert data_folders([str(tmp_path)], ["chaos_t2", "phantom"])["chaos_t2"] == str(tmp_path)
    assert data_folders([f"sabs={tmp_path}"], ["chaos_t2", "sabs"]) == {"chaos_t2": None, "sabs": str(tmp_path)}
    with pytest.raises(InputError, match="fits several datasets: write chaos_t2=FOLDER"):
        data_folders([str(tmp_path)], ["chaos_t2", "sabs"])
    with pytest.raises(InputError, match="there is no folder nowhere"):
        data_folders(["chaos_t2=nowhere"], ["chaos_t2"])


def contrast(first, second):
    """WCAG's contrast ratio of two colours as #rrggbb."""

    def luminance(colour):
        parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_in_light_and_dark():
    style = (ROOT / "common/tools/crossval/report/page.css").read_text()
    blocks = [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)]
    assert len(blocks) == 2
    for colours in blocks:
        for ground in ("ground", "panel"):
            for name in ("ink", "soft", "accent"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        assert all(contrast(colour, colours["ground"]) >= 3 for colour in charts.COLOURS)
