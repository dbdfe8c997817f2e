"""The commands of docs/how-to/model-zoo.md, as printed; the weights lie on a server on loopback."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading

import pytest

from tests.e2e.packaged import BUNDLES

GUIDE = BUNDLES.parent / "docs/how-to/model-zoo.md"


@pytest.mark.slow
def test_the_guides_commands_run_in_order(packaged, tmp_path):
    source = packaged("adnet").parents[1]
    shutil.copytree(source / "bundles/adnet", tmp_path / "bundles/adnet")
    shutil.copy(source / "bundles/adnet/configs/tiny.yaml", tmp_path / "bundles/adnet/configs/quick.yaml")
    shutil.copy(source / "models/model.pt", tmp_path / "model.pt")
    (tmp_path / "bin").mkdir()
    for name, arguments in {"fewshot": "-m common.tools.cli", "python": ""}.items():
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nPYTHONPATH={BUNDLES.parent} exec {sys.executable} {arguments} "$@"\n')
        program.chmod(0o755)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "dist"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        package, checks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(), re.DOTALL)
        for script, folder in ((package.replace("https://example.org", address), ""), (checks, "dist/adnet")):
            environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
            subprocess.run(["bash", "-ec", script], cwd=tmp_path / folder, env=environment, check=True)
        server.shutdown()
    written = {path.name for path in (tmp_path / "dist/adnet/models").iterdir()}
    assert {"model.pt", "model.ts", "model.onnx"} <= written
    assert (tmp_path / "dist/unit_tests/test_adnet.py").is_file()
