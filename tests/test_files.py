"""Files and folders are whole or as they were: after kills, on full disks, with several writers."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from common.errors import InputError, one_line
from common.files.exchange import put_back
from common.files.writing import WriteError, whole_file, whole_folder, write_bytes, write_json, write_state, write_text

OLD, NEW = b"old" * 50_000, b"new" * 100_000


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_file_is_replaced_when_all_went_well(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    write_text(path, "ä")
    assert path.read_text(encoding="utf-8") == "ä"
    assert hidden(path.parent) == []


@pytest.mark.parametrize("failure", [RuntimeError("x"), InputError("x"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(OLD)
    with pytest.raises(type(failure)), whole_file(path) as draft:
        draft.write_bytes(NEW)
        raise failure
    assert path.read_bytes() == OLD and hidden(tmp_path) == []


def test_a_file_that_fails_its_check_is_not_put_in_place(tmp_path: Path) -> None:
    def check(draft: Path) -> None:
        raise InputError(f"{draft.stat().st_size} bytes")

    with pytest.raises(InputError, match="3 bytes"), whole_file(tmp_path / "a", check) as draft:
        draft.write_bytes(b"123")
    assert list(tmp_path.iterdir()) == []


def test_state_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    write_state(path, {"a": torch.arange(3)})
    assert torch.equal(torch.load(path)["a"], torch.arange(3))
    write_state(tmp_path / "other.pt", {"a": torch.arange(3)})
    assert path.read_bytes() == (tmp_path / "other.pt").read_bytes()


def test_a_damaged_state_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = torch.save

    def cut(state: object, stream: BinaryIO) -> None:
        save(state, stream)
        stream.truncate(stream.tell() // 2)

    monkeypatch.setattr(torch, "save", cut)
    with pytest.raises(WriteError, match="model.pt: not written: it was not read back"):
        write_state(tmp_path / "model.pt", {"a": torch.zeros(1000)})
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_hides_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.files.writing._is_full", lambda folder: True)
    with pytest.raises(WriteError) as error, whole_file(tmp_path / "a") as draft:
        draft.write_bytes(b"1")
        raise RuntimeError("PytorchStreamWriter failed writing file data/2")
    assert one_line(error.value) == f"{tmp_path / 'a'}: no space left in {tmp_path}; free some and run again"
    assert error.value.errno == errno.ENOSPC


def test_errors_of_files_that_are_read_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error, whole_file(tmp_path / "a") as draft:
        draft.write_bytes((tmp_path / "missing").read_bytes())
    assert error.value.filename == str(tmp_path / "missing")


def test_a_folder_in_a_files_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="file/a: not written"):
        write_bytes(tmp_path / "file" / "a", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match="folder: not written"):
        write_bytes(tmp_path / "folder", b"")


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    if not exchange:
        monkeypatch.setattr("common.files.exchange._exchange", lambda source, target: False)
    path = tmp_path / "bundle"
    for number in (1, 2):
        with whole_folder(path) as draft:
            (draft / "sub").mkdir()
            (draft / "sub" / f"{number}.txt").write_text("x")
        assert [part.name for part in path.rglob("*.txt")] == [f"{number}.txt"]
        assert hidden(tmp_path) == []
    with pytest.raises(RuntimeError), whole_folder(path) as draft:
        raise RuntimeError
    assert [part.name for part in path.rglob("*.txt")] == ["2.txt"] and hidden(tmp_path) == []


def test_leftovers_go_when_their_writer_is_gone_and_stay_while_it_lives(tmp_path: Path) -> None:
    (tmp_path / ".1234.partial.a").write_text("killed")
    (tmp_path / ".abcd.partial.folder").mkdir()
    (tmp_path / ".abcd.partial.folder" / "b").write_text("killed")
    (tmp_path / ".partial.mine").write_text("a person's")
    with whole_file(tmp_path / "a") as draft:
        draft.write_text("living")
        write_text(tmp_path / "b", "other")
        assert draft.is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".partial.mine", "a", "b"]


def write_for_ever(path: Path) -> None:
    while True:
        write_bytes(path, NEW)
        write_bytes(path, OLD)


def write_folders_for_ever(path: Path) -> None:
    while True:
        for content in (NEW, OLD):
            with whole_folder(path) as draft:
                for name in ("a", "b"):
                    (draft / name).write_bytes(content)


@pytest.mark.parametrize("writer", [write_for_ever, write_folders_for_ever])
def test_a_kill_leaves_the_old_or_the_new(tmp_path: Path, writer: object) -> None:
    path = tmp_path / "out" / "a"
    for number in range(25):
        child = os.fork()
        if child == 0:
            writer(path)  # type: ignore[operator]
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.0007 * number)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        files = [path / "a", path / "b"] if path.is_dir() else [path]
        contents = {file.read_bytes() for file in files}
        assert contents in ({OLD}, {NEW})
    write_text(tmp_path / "out" / "next", "x")
    assert hidden(tmp_path / "out") == []


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_kill_between_two_renames_loses_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    monkeypatch.setattr("common.files.exchange._exchange", lambda source, target: False)
    path = tmp_path / "dataset"
    with whole_folder(path) as draft:
        (draft / "old").touch()
    child = os.fork()
    if child == 0:
        with whole_folder(path) as draft:
            (draft / "new").touch()
            renames = iter(range(4))  # the first one fails, the folder is there

            def rename(source: Path, target: Path, rename: Callable[..., None] = os.rename) -> None:
                if next(renames) == killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                rename(source, target)

            os.rename = rename  # type: ignore[assignment]
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    write_text(tmp_path / "next", "x")
    put_back(path)
    assert [part.name for part in path.iterdir()] == ["new" if killed_at == 3 else "old"]
    with whole_folder(path) as draft:
        (draft / "newer").touch()
    assert [part.name for part in path.iterdir()] == ["newer"] and hidden(tmp_path) == []


def test_a_name_as_long_as_the_system_takes(tmp_path: Path) -> None:
    write_text(tmp_path / ("a" * 251 + ".txt"), "x")
    with whole_folder(tmp_path / ("b" * 255)) as draft:
        (draft / "c").touch()
    assert sorted(len(path.name) for path in tmp_path.iterdir()) == [255, 255]
    with pytest.raises(WriteError, match="name too long"):
        write_text(tmp_path / ("a" * 256), "x")
    assert hidden(tmp_path) == []


def test_processes_that_write_side_by_side_leave_each_other_alone(tmp_path: Path) -> None:
    children = []
    for number in range(4):
        children.append(os.fork())
        if children[-1] == 0:
            try:
                for _ in range(200):
                    write_text(tmp_path / str(number), "x")
                os._exit(0)
            finally:
                os._exit(1)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3"]


def test_a_folder_that_nothing_can_be_written_to_is_named(tmp_path, monkeypatch):
    def refuse(path, exist_ok=True):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(WriteError, match="a.json: not written: Permission denied; choose a folder"):
        write_json(tmp_path / "a.json", {})
