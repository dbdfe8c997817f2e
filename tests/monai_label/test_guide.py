"""The commands of docs/how-to/monai-label.md, as printed, on a server of its own."""

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nibabel as nib
import numpy as np
import pytest

from tests.e2e.packaged import BUNDLES
from tests.monai_label.conftest import ENVIRONMENT
from tests.monai_label.server import START_SECONDS

pytestmark = pytest.mark.monai_label
GUIDE = BUNDLES.parent / "docs/how-to/monai-label.md"


@pytest.fixture
def folder(packaged, dataset, tmp_path):
    """What the guide takes for granted: a bundle with weights, two studies, one of them drawn."""
    source = packaged("adnet").parents[1]
    shutil.copytree(source / "bundles/adnet", tmp_path / "bundles/adnet")
    shutil.copy(source / "bundles/adnet/configs/tiny.yaml", tmp_path / "bundles/adnet/configs/quick.yaml")
    shutil.copy(source / "models/model.pt", tmp_path / "model.pt")
    (tmp_path / "studies").mkdir()
    for name, case in {"patient_a": "case_1", "patient_b": "case_2", "patient_c": "case_3"}.items():
        shutil.copy(dataset / f"imagesTr/{case}.nii.gz", tmp_path / f"studies/{name}.nii.gz")
    shutil.copy(dataset / "labelsTr/case_1.nii.gz", tmp_path / "patient_a_organs.nii.gz")
    for name in ("docs", "tests"):
        (tmp_path / name).symlink_to(BUNDLES.parent / name)
    (tmp_path / ENVIRONMENT.name).symlink_to(ENVIRONMENT)
    return tmp_path


def test_the_guides_commands_run_in_order(folder, monai_label_python, dataset):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = GUIDE.read_text().replace("8000", str(port))
    steps = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    (folder / "bin").mkdir()
    fewshot = folder / "bin/fewshot"
    fewshot.write_text(f'#!/bin/sh\nPYTHONPATH={BUNDLES.parent} exec {sys.executable} -m common.tools.cli "$@"\n')
    fewshot.chmod(0o755)
    path = f"{fewshot.parent}:{monai_label_python.parent}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(folder), "TMPDIR": str(folder), "MONAI_LABEL_SESSIONS": "false"}
    server = None
    try:
        for step in steps:
            command = ["bash", "-ec", step]
            if "start_server" in step:
                server = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
                wait_for(f"http://127.0.0.1:{port}/info/", server)
            else:
                run = subprocess.run(
                    command, cwd=folder, env=environment, check=True, timeout=600, text=True, stdout=subprocess.PIPE
                )
                if "annotation_loop" in step:
                    loop = run.stdout
        batch = nib.load(folder / "studies/labels/original/patient_c.nii.gz")
        rounds = []
        while (command := loop.splitlines()[-1]).startswith("python "):
            rounds.append(command)
            loop = subprocess.run(
                ["bash", "-ec", command], cwd=folder, env=environment, check=True, text=True, stdout=subprocess.PIPE
            ).stdout
    finally:
        if server is not None:
            subprocess.run(["pkill", "-TERM", "-s", str(server.pid)])
            server.wait(30)
    assert server is not None and len(steps) == 9
    assert [line.split()[2:4] for line in rounds] == [
        ["patient_b", "patient_b_organs.nii.gz"],
        ["patient_c", "patient_c_organs.nii.gz"],
    ]
    assert all("liver=1 spleen=2" in line for line in rounds) and loop == "every study has a label\n"
    answer = nib.load(folder / "patient_b_liver.nii.gz")
    drawn = nib.load(dataset / "labelsTr/case_2.nii.gz").get_fdata() == 1
    found = np.asarray(answer.dataobj) == 1
    assert 2 * (drawn & found).sum() / (drawn.sum() + found.sum()) > 0.5
    assert set(np.unique(batch.dataobj)) == {0, 1}
    assert set(np.unique(nib.load(folder / "patient_c_organs.nii.gz").dataobj)) == {0, 1, 2}


def wait_for(address, server):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            opener.open(address, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"no server at {address}, exit status {server.poll()}")
