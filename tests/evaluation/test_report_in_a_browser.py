"""The page of ``fewshot report`` in Chromium: light and dark, readable by keyboard and in a narrow window."""

import pytest
from PIL import Image

from common.tools.crossval.report import write_report
from tests.evaluation import chromium


@pytest.fixture
def browser(tmp_path):
    program = chromium.find()
    if program is None:
        pytest.skip("there is no Chromium: the page was not opened in a browser")
    with chromium.Chromium(program, tmp_path / "profile") as window:
        yield window


def focused(browser, expression):
    return browser.evaluate(f"document.activeElement.{expression}")


def test_chromium_opens_it_in_light_and_dark(results, tmp_path, browser):
    path = write_report(results)
    corners = {}
    for scheme in ("light", "dark"):
        browser.open(path, scheme)
        with Image.open(browser.screenshot(tmp_path / f"{scheme}.png")) as picture:
            corners[scheme] = picture.convert("RGB").getpixel((2, 2))
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert min(corners["light"]) > 240 and max(corners["dark"]) < 40
    assert browser.problems == []


def test_labels_fit_as_chromium_draws_them(results, browser):
    browser.open(write_report(results))
    outside = """[...document.querySelectorAll("svg")].flatMap((svg) => {
      const [width, height] = [svg.width.baseVal.value, svg.height.baseVal.value];
      return [...svg.querySelectorAll("text")].filter((text) => {
        const box = text.getBBox();
        return box.x < 0 || box.x + box.width > width || box.y + box.height > height;
      }).map((text) => text.textContent);
    }).join()"""
    assert browser.evaluate(outside) == ""
    sizes = """[...document.querySelectorAll("svg, td, th, p, li, figcaption, summary, code")]
      .map((element) => parseFloat(getComputedStyle(element).fontSize))"""
    assert browser.evaluate(f"Math.min(...{sizes})") >= 13


def test_keyboard(results, browser):
    browser.open(write_report(results))
    browser.press("Tab")
    assert focused(browser, "textContent") == "Skip to the content"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    browser.press("Enter")
    assert focused(browser, "id") == "content"
    browser.press("Tab")
    assert focused(browser, "getAttribute('aria-labelledby')") == "table-1"
    assert browser.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
    browser.evaluate("document.querySelectorAll('#cases summary')[1].focus()")
    browser.press("Enter")
    assert browser.evaluate("document.querySelectorAll('#cases details')[1].open")
    browser.press("Tab")
    assert focused(browser, "getAttribute('aria-labelledby')") == "cases-2"
    for _ in range(5):
        browser.press("Tab")
    assert focused(browser, "tagName") == "BUTTON" and focused(browser, "textContent") == "Dice, %"
    column = "[...document.querySelectorAll('#cases table')[1].tBodies[0].rows].map((row) => row.cells[4].textContent)"
    before = browser.evaluate(column)
    assert len(set(before)) > 50 and before.count("–") == 2
    for direction in ("ascending", "descending"):
        browser.press("Enter")
        assert focused(browser, "parentElement.getAttribute('aria-sort')") == direction
        order = sorted((text for text in before if text != "–"), key=float, reverse=direction == "descending")
        assert browser.evaluate(column) == order + ["–"] * before.count("–")
    assert browser.problems == []


def test_narrow_window(results, browser):
    path = write_report(results)
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=False)
    browser.open(path)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    scrolling = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth)"
    assert browser.evaluate(f"{scrolling}.length") > 5
    assert browser.evaluate(f"{scrolling}.every((box) => box.tabIndex === 0)")
