"""The command line: verbs, one-line errors, light start."""

import pytest
from typer.testing import CliRunner

from common.cli import app
from tests.e2e.tiny import save, scan

runner = CliRunner()


def test_help_names_every_verb():
    text = runner.invoke(app, ["--help"]).output
    verbs = (
        "train",
        "evaluate",
        "segment",
        "statistics",
        "supervoxels",
        "package",
        "freeze",
        "dicom-seg",
        "crossval",
        "table",
        "prepare",
    )
    assert all(verb in text for verb in verbs)


def test_help_loads_nothing_heavy(run_python):
    code = (
        "import sys; sys.argv = ['fewshot', '--help']; from common.cli import app; app(standalone_mode=False); "
        "print('heavy:', [name for name in ('torch', 'monai', 'numba', 'matplotlib') if name in sys.modules])"
    )
    assert "heavy: []" in run_python("-c", code).stdout


def test_mistakes_end_in_one_line(bundle_root, tmp_path):
    missing = str(tmp_path / "nowhere.nii.gz")
    places = ["--image", missing, "--output-dir", str(tmp_path)]
    arguments = [
        "segment",
        "--bundle",
        str(bundle_root("adnet")),
        "--support-image",
        missing,
        "--support-label",
        missing,
    ]
    result = runner.invoke(app, [*arguments, *places, "--organs", "one"])
    assert result.exit_code != 0 and "whole numbers" in result.output
    result = runner.invoke(app, ["train", "--bundle", str(tmp_path)])
    assert isinstance(result.exception, SystemExit)
    assert str(result.exception.code).startswith(f"error: no bundle {tmp_path}: it has no folder configs")


@pytest.fixture
def ct_folder(tmp_path):
    for number in range(1, 4):
        save(tmp_path / "ct" / f"case_{number}.nii.gz", scan(number)[0] - 300)
    return tmp_path / "ct"


def test_statistics_are_those_of_the_training_scans(run_python, bundle_root, ct_folder):
    """Fold null trains on all three scans; the window clips and scales as the papers do."""
    settings = ("fold=null", "intensity_window=[-125, 275]", "image_size=64", "spacing=[2.0, 2.0, 6.0]")
    overrides = [part for setting in settings for part in ("--override", setting)]
    command = ["-m", "common.cli", "statistics", "--bundle", bundle_root("adnet"), "--dataset-dir", ct_folder]
    lines = run_python(*command, *overrides).stdout.splitlines()
    values = {line.split(": ")[0]: float(line.split(": ")[1]) for line in lines if line.startswith("intensity_")}
    assert 0 < values["intensity_mean"] < 255 and 0 < values["intensity_std"] < 255


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d", "ssl_alpnet"])
def test_supervoxel_preview_writes_a_picture(bundle, run_python, bundle_root, tmp_path):
    image = save(tmp_path / "scan.nii.gz", scan(1)[0])
    command = ["-m", "common.cli", "supervoxels", "preview", "--image", image, "--output", tmp_path / "out.png"]
    run_python(*command, "--bundle", bundle_root(bundle), "--config", "quick")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
