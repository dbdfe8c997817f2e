"""A real napari window: its tests skip, and say so, where napari or a display is missing."""

import os
import sys

import pytest


def needs_window():
    """Skip without napari, Qt or a display; Qt itself would end the process."""
    pytest.importorskip("napari", reason="napari is not installed (extra napari): its plugin was not tested")
    pytest.importorskip("qtpy.QtWidgets", reason="Qt is not installed (extra napari): the plugin was not tested")
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        pytest.skip("no display: the napari plugin was not tested; run xvfb-run -a make test-napari")


@pytest.fixture(scope="session")
def napari_settings(tmp_path_factory):
    """Keep napari from reading and writing the settings of the person who tests."""
    os.environ["NAPARI_CONFIG"] = str(tmp_path_factory.mktemp("napari") / "settings.yaml")


@pytest.fixture
def window(napari_settings, monkeypatch):
    """Give ``window(*scans)``, which opens napari with the plugin as ``fewshot open`` does."""
    needs_window()
    from common.tools.viewer.start import open_viewer
    from tests.conftest import forget_scripts
    from tests.viewer.hand import Hand

    forget_scripts(monkeypatch)
    opened = []

    def get(*scans):
        opened.append(Hand(*open_viewer([str(path) for path in scans])))
        return opened[-1]

    yield get
    for hand in opened:
        hand.widget.answers.stop()
        hand.widget.model.end()
        hand.wait(lambda hand=hand: not hand.widget.answers.busy and hand.widget.model.train.enabled)
        hand.viewer.close()


@pytest.fixture
def messages(napari_settings):
    """What napari's notifications have said since."""
    needs_window()
    from napari.utils.notifications import notification_manager

    before = len(notification_manager.records)
    return lambda: [record.message for record in list(notification_manager.records)[before:]]
