"""The command line: verbs, one-line errors, light start."""

import json
import re
import shlex

import pytest
import yaml
from typer.testing import CliRunner

from common.tools.cli import _GROUPS, app
from tests.e2e.tiny import SMALL_TRAINING, save, scan

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
        "import sys; sys.argv = ['fewshot', '--help']; from common.tools.cli import app; app(standalone_mode=False); "
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
    command = ["-m", "common.tools.cli", "statistics", "--bundle", bundle_root("adnet"), "--dataset-dir", ct_folder]
    lines = run_python(*command, *overrides).stdout.splitlines()
    values = {line.split(": ")[0]: float(line.split(": ")[1]) for line in lines if line.startswith("intensity_")}
    assert 0 < values["intensity_mean"] < 255 and 0 < values["intensity_std"] < 255


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d", "ssl_alpnet"])
def test_supervoxel_preview_writes_a_picture(bundle, run_python, bundle_root, tmp_path):
    image = save(tmp_path / "scan.nii.gz", scan(1)[0])
    command = ["-m", "common.tools.cli", "supervoxels", "preview", "--image", image, "--output", tmp_path / "out.png"]
    run_python(*command, "--bundle", bundle_root(bundle), "--config", "quick")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_supervoxels_that_a_training_does_not_use_are_not_drawn(run_python, bundle_root, tmp_path):
    image = save(tmp_path / "scan.nii.gz", scan(1)[0])
    command = ["-m", "common.tools.cli", "supervoxels", "preview", "--image", image, "--output", tmp_path / "out.png"]
    command += ["--bundle", bundle_root("lsnet"), "--config"]
    refused = run_python(*command, "quick", check=False)
    assert refused.returncode == 1 and not (tmp_path / "out.png").exists()
    assert "lsnet trains on drawn organs so, not on supervoxels" in refused.stdout.splitlines()[-1]
    run_python(*command, "train_ssl,quick")
    assert (tmp_path / "out.png").exists()


OURS = (
    r"no GPU: a small network from the weights that come|run folder: .*; prepared scans are kept in|"
    r"model: .*model\.pt; use it|fewshot segment --bundle|--support-image SCAN|\d+ steps are left; at the pace|"
    r"case_\d\.nii\.gz: (liver|spleen): (not found|.* ml, slices)|common\.\S+ - WARNING - |preparing volumes: |"
    r"scans: |^\[\d+/\d+\]|epoch: "
)


def check_lines(result):
    """Every line is one of ours."""
    for line in re.split(r"[\n\r]", result.stdout):
        assert not line.strip() or re.search(OURS, line), line


def test_training_and_segmenting_by_the_command_alone(run_python, dataset, tmp_path):
    """A run folder of its own, the model's path as the only thing to hand on, and no line that is not ours."""
    settings = {
        **SMALL_TRAINING["adnet"],
        "init": "none",
        "episodes_per_epoch": 30,
        "batch_size": 1,
        "max_epochs": 1,
        "save_interval": 10,
    }
    texts = [part for name, value in settings.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    train = [
        "-m",
        "common.tools.cli",
        "train",
        "--data",
        dataset,
        "--seed",
        "7",
        "--fold",
        "0",
        "--device",
        "cpu",
        *texts,
    ]
    result = run_python(*train, cwd=tmp_path)
    check_lines(result)
    assert "steps are left" in result.stdout
    (run,) = tmp_path.glob("runs/adnet-*")
    names = {path.name for path in run.iterdir()}
    assert {"model.pt", "settings.yaml", "training.log", "curves"} <= names
    content = yaml.safe_load((run / "settings.yaml").read_text())
    assert (content["seed"], content["fold"], content["image_size"]) == (7, 0, 64)
    assert "Engine run finished" in (run / "training.log").read_text()
    again = run_python(*train, "--resume", cwd=tmp_path)
    assert str(run) in again.stdout and len(list(tmp_path.glob("runs/adnet-*"))) == 1

    line = next(line.strip() for line in result.stdout.splitlines() if line.strip().startswith("fewshot segment"))
    command = shlex.split(line.removesuffix("\\"))
    support = [
        "--support-image",
        dataset / "imagesTr/case_3.nii.gz",
        "--support-label",
        dataset / "labelsTr/case_3.nii.gz",
    ]
    query = ["--image", dataset / "imagesTr/case_1.nii.gz", "--output-dir", tmp_path / "out"]
    segment = run_python("-m", "common.tools.cli", *command[1:], *support, *query, cwd=tmp_path)
    check_lines(segment)
    assert len([line for line in segment.stdout.splitlines() if "case_1.nii.gz: " in line]) >= 2
    assert (tmp_path / "out/case_1_seg.nii.gz").is_file()
    more = ["--preview", "--json", "--names", "1=Leber", "--set", "confidence=true"]
    printed = run_python(
        "-m", "common.tools.cli", *command[1:], *support, *query, *more, cwd=tmp_path
    ).stdout.splitlines()
    (found,) = [json.loads(line) for line in printed if line.startswith("{")]
    assert [organ["name"] for organ in found["organs"]] == ["Leber", "spleen"]
    assert found["segmentation"] == str(tmp_path / "out/case_1_seg.nii.gz")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"case_1_{ending}" for ending in ("seg.nii.gz", "confidence.nii.gz", "preview.png")
    }


def test_resuming_without_a_run_is_refused(run_python, tmp_path):
    result = run_python("-m", "common.tools.cli", "train", "--resume", cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert result.stdout.strip() == "error: --resume: there is no runs/adnet-* here; name the run folder, --output-dir"
    result = run_python("-m", "common.tools.cli", "train", "--fold", "9", cwd=tmp_path, check=False)
    assert result.returncode == 1 and "--fold is '9'; it takes 0 to 4, or none" in result.stdout


def test_help_lists_every_verb_in_its_group():
    shown = runner.invoke(app, ["--help"]).stdout
    assert all(f"{title}:" in shown for title in ("Segment", "Train", "Experiment", "Ship"))
    assert all(re.search(rf"^  {name}  ", shown, re.MULTILINE) for verbs in _GROUPS.values() for name in verbs)


def test_the_doctor_says_what_is_wrong_and_what_a_training_would_do(run_python, tmp_path):
    for number in range(1, 13):
        image, label = scan(number)
        save(tmp_path / "scans" / f"case_{number}.nii.gz", image - 1000 * (number == 3))
        if number < 3:
            save(tmp_path / "scans" / f"case_{number}_seg.nii.gz", label)
    damaged = tmp_path / "scans" / "case_5.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    result = run_python("-m", "common.tools.cli", "doctor", tmp_path / "scans", "--config", "quick", check=False)
    assert result.returncode == 1
    assert f"{tmp_path / 'scans'}: 12 scans, 2 with label maps; 64 x 60 x 6 voxels; 2 x 2 x 6 mm" in result.stdout
    assert "label values: 1 in 2, 4 in 2 scans" in result.stdout
    assert result.stdout.count("wrong: ") == 1 and f"wrong: {damaged}: truncated or damaged" in result.stdout
    assert "trains adnet, overlays quick: 3000 episodes of 8 scans" in result.stdout
    assert "keeps 3 scans to validate, 1 as their support" in result.stdout
    assert "intensities look like CT in HU" in result.stdout


def test_the_doctor_refuses_what_the_training_would(run_python, tmp_path):
    """Overlays that do not go together, and label maps that the method needs; no fault is an error of the doctor."""
    for number in range(6):
        save(tmp_path / f"scans/p{number}.nii.gz", scan(number)[0])
    doctor = ["-m", "common.tools.cli", "doctor", tmp_path / "scans"]
    for words, fault in (
        (["--config", "quick,cpu"], "wrong: overlays quick and cpu are two of one kind"),
        (["--bundle", "lsnet"], "wrong: supervised training needs label maps of every training scan"),
    ):
        result = run_python(*doctor, *words, check=False)
        assert result.returncode == 1 and fault in result.stdout and "internal error" not in result.stdout
    assert "trains lsnet" in run_python(*doctor, "--bundle", "lsnet", "--config", "train_ssl,cpu").stdout


def test_the_doctor_takes_a_channel_and_names_folds_that_do_not_fit(run_python, tmp_path):
    for number in range(2):
        for channel in (0, 1):
            save(tmp_path / "scans" / f"case_{number}_000{channel}.nii.gz", scan(number)[0])
        save(tmp_path / "scans" / f"case_{number}_seg.nii.gz", scan(number)[1])
    command = ["-m", "common.tools.cli", "doctor", tmp_path / "scans", "--channel", "1"]
    result = run_python(*command, check=False)
    assert f"{tmp_path / 'scans'}: 2 scans, 2 with label maps" in result.stdout
    assert result.returncode == 1 and "wrong: folds must be 2 to the number of subjects (2), got 5" in result.stdout


@pytest.mark.parametrize(("options", "shown"), [("[]", True), ("['--quiet']", False)])
def test_quiet_shows_no_progress_bars(options, shown, run_python):
    code = f"from common.tools.cli import app; app({options} + ['where'], standalone_mode=False)"
    bar = "from tqdm import tqdm; list(tqdm([1], desc='reading scans'))"
    assert ("reading scans" in run_python("-c", f"{code}; {bar}").stdout) == shown
