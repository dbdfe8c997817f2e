"""A MONAI Label server with packaged bundles, and a DICOM server: real programs on loopback, stopped at the end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.tiny import SMALL
from tests.monai_label.orthanc import Orthanc, missing
from tests.monai_label.server import Server

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-monai-label"
WRONG_PYTHON = 3  # exit status of environment.sh


@pytest.fixture(scope="session")
def monai_label_python() -> Path:
    """Interpreter of the MONAI Label environment, built if it is not there or out of date."""
    command = [HERE / "environment.sh", ENVIRONMENT]
    build = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if build.returncode == WRONG_PYTHON:
        pytest.skip(build.stderr.strip())
    if build.returncode:
        pytest.fail(f"tests/monai_label/environment.sh:\n{build.stderr[-3000:]}", pytrace=False)
    return ENVIRONMENT / "bin" / "python"


@pytest.fixture(scope="module")
def serve(monai_label_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Give ``serve(bundles, studies, environment)``, which starts a ``Server`` that runs until the module's end."""
    servers = []

    def start(bundles: list[Path], studies: Path | str, environment: dict[str, str] | None = None) -> Server:
        folder = tmp_path_factory.mktemp("monai-label")
        servers.append(Server(monai_label_python, folder, bundles, studies, environment))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An empty DICOM server."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    yield server
    server.close()


@pytest.fixture(scope="module", params=SMALL)
def bundle(request: pytest.FixtureRequest) -> str:
    """Name of each bundle in turn."""
    return request.param


@pytest.fixture(scope="module")
def server(serve: Callable[..., Server], packaged: Callable[[str], Path], dataset: Path, bundle: str) -> Server:
    """A server with one packaged bundle and the tiny scans as studies."""
    return serve([packaged(bundle)], dataset / "imagesTr")
