"""The unmodified monaibundle app of MONAI Label in a process of its own, and the REST calls that its clients make."""

from __future__ import annotations

import email
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

START_SECONDS = 180  # several large networks on a busy machine
CALL_SECONDS = 600
Field: TypeAlias = "str | Path | Sequence[Path] | None"
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(NamedTuple):
    """HTTP status, what the JSON part says (the detail where refused), and the label file where one was returned."""

    status: int
    json: Any
    label: Path | None = None


class Server:
    """A server on loopback at a free port, which sees only copies of bundles and studies; ``close`` stops it.

    Args:
        python: interpreter of the MONAI Label environment.
        folder: an empty folder for everything that the server reads and writes.
        bundles: folders of self-contained bundles; the folder's name is the model's.
        studies: folder of NIfTI scans, or the address of a DICOMweb server.
        environment: further environment variables, such as MONAI_LABEL_DICOMWEB_SEARCH_FILTER.
    """

    def __init__(
        self,
        python: Path,
        folder: Path,
        bundles: Sequence[Path],
        studies: Path | str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.app = folder / "app"
        shutil.copytree(python.parent.parent / "monailabel" / "sample-apps" / "monaibundle", self.app)
        for bundle in bundles:
            shutil.copytree(bundle, self.bundle(bundle.name))
        self.studies = studies if isinstance(studies, str) else shutil.copytree(studies, folder / "studies")
        self.log = folder / "server.log"
        self._start(python, [bundle.name for bundle in bundles], environment or {})

    def bundle(self, name: str) -> Path:
        """Return the server's copy of a bundle."""
        return self.app / "model" / name

    def info(self) -> dict[str, Any]:
        """Return what the server offers: models, trainers, datastore."""
        return self.call("GET", "/info/").json

    def put_label(
        self, image: str, label: Path, label_info: Sequence[Mapping[str, Any]] = (), tag: str = "final"
    ) -> Answer:
        """Submit a label map as an annotator does; label_info as 3D Slicer sends it: [{"name": "liver", "idx": 1}]."""
        fields = {"params": json.dumps({"label_info": list(label_info)}), "label": label}
        return self.call("PUT", "/datastore/label", {"image": image, "tag": tag}, fields)

    def infer(
        self,
        model: str,
        image: str,
        params: Mapping[str, Any] | None = None,
        label: Path | None = None,
        output: str = "all",
        file: Path | None = None,
        session: str = "",
    ) -> Answer:
        """Segment a study, an uploaded file, or a session's; a mask can be sent along, as 3D Slicer and OHIF do."""
        fields = {"params": json.dumps(params or {}), "label": label, "file": file}
        query = {"image": image, "session_id": session, "output": output}
        return self.call("POST", f"/infer/{model}", query, fields)

    def open_session(self, *files: Path) -> str:
        """Send a scan, or the files of a series, as 3D Slicer does, and return the session's id for ``infer``."""
        return self.call("PUT", "/session/", fields={"files": files}).json["session_id"]

    def batch_infer(self, model: str, images: str = "unlabeled", **params: Any) -> Answer:
        """Segment many studies; the answer comes when all are done."""
        query = {"images": images, "run_sync": "true"}
        return self.call("POST", f"/batch/infer/{model}", query, body=json.dumps(params))

    def train(self, model: str, run_sync: bool = True, **params: Any) -> Answer:
        """Train; with run_sync=False, as 3D Slicer asks for, in a process of its own, see ``training``."""
        return self.call("POST", f"/train/{model}", {"run_sync": str(run_sync).lower()}, body=json.dumps(params))

    def training(self) -> Answer:
        """Return the state of the newest training process; ``json["status"]`` ends as DONE or ERROR."""
        return self.call("GET", "/train/")

    def datastore(self) -> dict[str, Any]:
        """Return the studies and their labels, by image id under "objects"."""
        return self.call("GET", "/datastore/", {"output": "all"}).json

    def get_label(self, image: str, tag: str = "final") -> Answer:
        """Fetch a stored label map."""
        return self.call("GET", "/datastore/label", {"label": image, "tag": tag})

    def delete_label(self, image: str, tag: str = "final") -> None:
        """Delete a stored label map, and wait until the server has noticed."""
        self.call("DELETE", "/datastore/label", {"id": image, "tag": tag})
        end = time.monotonic() + 30
        while tag in self.datastore()["objects"][image]["labels"] and time.monotonic() < end:
            time.sleep(0.2)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        fields: Mapping[str, Field] | None = None,
        body: str | None = None,
    ) -> Answer:
        """Send any request: fields as a form, or a JSON body."""
        address = f"{self.address}{path}?{urllib.parse.urlencode(query or {})}"
        data, kind = (body.encode(), "application/json") if body is not None else (None, None)
        if fields is not None:
            data, kind = _multipart(fields)
        request = urllib.request.Request(address, data, {"Content-Type": kind} if kind else {}, method=method)
        try:
            with _NO_PROXY.open(request, timeout=CALL_SECONDS) as response:
                return self._answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return self._answer(error.code, error.headers, error.read())

    def tail(self, lines: int = 60) -> str:
        """Return the end of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        """Stop the server and the processes that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            os.killpg(self.process.pid, number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                continue

    def _start(self, python: Path, models: list[str], environment: Mapping[str, str]) -> None:
        home, work = self.folder / "home", self.folder / "work"
        home.mkdir()
        work.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        command = [python, "-W", "ignore", "-m", "monailabel.main", "start_server"]
        command += ["--app", self.app, "--studies", self.studies, "--host", "127.0.0.1", "--port", port]
        settings = {"models": ",".join(models), "zoo_source": "local", "sam2": "false"}
        command += [part for key, value in settings.items() for part in ("--conf", key, value)]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FEWSHOT_", "MONAI_"))}
        variables = {
            **inherited,
            "HOME": str(home),
            "TMPDIR": str(home),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "CUDA_VISIBLE_DEVICES": "",
            **environment,
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=work,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self.call("GET", "/info/").status == 200:
                    return
            except OSError:
                time.sleep(0.5)
        self.close()
        raise RuntimeError(f"MONAI Label did not start, exit status {self.process.returncode}:\n{self.tail()}")

    def _answer(self, status: int, headers: Any, content: bytes) -> Answer:
        message = email.message_from_bytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + content)
        if not message.is_multipart():
            return Answer(status, *self._part(headers, content))
        said, label = None, None
        for part in message.get_payload():
            said_here, label_here = self._part(part, part.get_payload(decode=True))
            said, label = said or said_here, label or label_here
        return Answer(status, said, label)

    def _part(self, headers: Any, content: bytes) -> tuple[Any, Path | None]:
        kind, name = headers.get_content_type(), headers.get_filename()
        if name is not None:
            path = self.folder / "answers" / uuid.uuid4().hex / Path(name).name
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
            return None, path
        text = content.decode(errors="replace")
        return (json.loads(text) if kind == "application/json" else text), None


def _multipart(fields: Mapping[str, Field]) -> tuple[bytes, str]:
    """Encode form fields, files among them, and return the body and its content type."""
    boundary, parts = uuid.uuid4().hex, []
    for name, values in fields.items():
        for value in [values] if isinstance(values, (str, Path)) else values or ():
            file = f'; filename="{value.name}"' if isinstance(value, Path) else ""
            content = value.read_bytes() if isinstance(value, Path) else value.encode()
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
            parts.append(head.encode() + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
