"""Shared fixtures: fixed threads and seeds, a cache of the tests' own, and bundles run in subprocesses."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

# Set before torch and numba are imported, and inherited by subprocesses: workers share the cores, they do not fight.
# The process that starts the workers must not set it, they would inherit its number.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    _threads = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(_variable, str(_threads))

# A shell's background jobs ignore Ctrl-C, and so would everything that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked ``gpu`` where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Point FEWSHOT_CACHE, also of subprocesses, to a folder of this session, where the phantom is made once."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # one phantom for all workers
    folder = base / "fewshot-cache"
    folder.mkdir(exist_ok=True)
    os.environ["FEWSHOT_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed torch's global generator, which initialises weights.

    Deterministic algorithms are not forced: users do not have them on, and same seed, same bits must hold for them.
    """
    import torch

    torch.manual_seed(0)


@pytest.fixture
def own_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the ``scripts`` of the bundle before."""
    forget_scripts(monkeypatch)


def forget_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test load another bundle than those before: a process that is no test has one."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not (Path(entry) / "configs").is_dir()])
    for name in [name for name in sys.modules if name.split(".")[0] == "scripts"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real scans, from FEWSHOT_DATA."""
    value = os.environ.get("FEWSHOT_DATA")
    if not value:
        pytest.skip("FEWSHOT_DATA is not set: tests on real scans did not run")
    folder = Path(value).expanduser().resolve()
    if not folder.is_dir():
        pytest.fail(f"FEWSHOT_DATA={value} is no folder: name the folder of real scans, or unset it")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Give ``small_disk(size)``, an empty folder on a disk of that size (``"2m"``); skips where mounting fails."""
    from tests.durability import mounted_disk

    with ExitStack() as mounted:
        yield lambda size: mounted.enter_context(mounted_disk(tmp_path / f"disk-{size}", size))


@pytest.fixture(scope="session")
def bundle_root() -> Callable[[str], Path]:
    """Give ``bundle_root(name)``, the folder of a bundle."""

    def find(name: str) -> Path:
        folder = REPOSITORY / "bundles" / name
        assert folder.is_dir(), f"no bundle {folder}"
        return folder

    return find


@pytest.fixture(scope="session")
def run_python(cache_folder: Path) -> Run:
    """Give ``run_python(*arguments, cwd, check, timeout)``: a new interpreter that finds ``common`` from any folder."""

    def run(
        *arguments: str | Path, cwd: str | Path = REPOSITORY, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        command = [sys.executable, *map(str, arguments)]
        result = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            timeout=timeout,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and result.returncode != 0:
            tail = "\n".join(result.stdout.splitlines()[-60:])
            pytest.fail(f"exit status {result.returncode} of {' '.join(command)}\n{tail}", pytrace=False)
        return result

    return run


@pytest.fixture(scope="session")
def run_bundle(run_python: Run) -> Run:
    """Give ``run_bundle(*arguments, cwd, check, timeout)``: ``python -m monai.bundle``, output in ``.stdout``."""

    def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        return run_python("-m", "monai.bundle", *arguments, **options)

    return run


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiny scans with label maps, in MSD layout."""
    from tests.e2e.tiny import save, scan

    folder = tmp_path_factory.mktemp("dataset")
    training = []
    for number in range(1, 7):
        image, label = scan(number)
        names = {"image": f"imagesTr/case_{number}.nii.gz", "label": f"labelsTr/case_{number}.nii.gz"}
        save(folder / names["image"], image)
        save(folder / names["label"], label)
        training.append(names)
    (folder / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "liver": 1, "spleen": 4}, "training": training})
    )
    return folder


@pytest.fixture(scope="session")
def options() -> Callable[..., list[str]]:
    """Turn settings into command-line overrides."""

    def convert(**settings):
        return [part for key, value in settings.items() for part in (f"--{key}", str(value))]

    return convert


@pytest.fixture(scope="session")
def packaged(cache_folder: Path, run_python: Run, dataset: Path) -> Callable[[str], Path]:
    """Give ``packaged(bundle)``, the folder of a bundle that was trained for seconds and packaged with its weights.

    All workers share it.
    """
    from tests.e2e.packaged import train_and_package

    def get(bundle: str) -> Path:
        folder = cache_folder.parent / "packaged" / bundle
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "made").is_file():
                train_and_package(bundle, folder, run_python, dataset)
                (folder / "made").touch()
        return folder / "dist" / bundle

    return get
