"""A model that is kept ready: it segments as ``fewshot segment`` does and remembers what a stroke does not change."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from monai.data import MetaTensor
from monai.networks.utils import eval_mode
from monai.transforms import Compose

from ...configuration.workflow import bundle_folder, bundle_workflow
from ...errors import InputError
from ...files.checkpoints import load_weights
from ...files.literals import literal
from ...transforms import LoadSupportd, MergeOrgansd
from ...transforms.warnings import WarnOfAnswerd
from .scans import Scan

KEPT_BYTES = 2**31  # of encoded queries: about ten scans of 256 x 256 x 36 with the small encoder


@dataclass
class Drawn:
    """A support: a scan and the label map that was drawn on it, ``(1, X, Y, Z)`` on the scan's grid."""

    scan: Scan
    label: MetaTensor


@dataclass
class Answer:
    """What was found in a scan, ``(1, X, Y, Z)`` on its own grid, and what a person should know of it."""

    scan: Scan
    label: MetaTensor
    confidence: MetaTensor
    warnings: list[str] = field(default_factory=list)


class Session:
    """Network, preprocessing, inferer and postprocessing of a bundle's ``inference.yaml``, built once.

    Prepared and encoded scans are kept, supports too: after another stroke only the drawing is prepared and compared
    anew. One bundle at a time: the ``scripts`` of the one before are forgotten.

    Args:
        bundle: folder or name.
        checkpoint: trained weights; None: those of the bundle.
        settings: ids of ``inference.yaml`` and their values.

    Raises:
        InputError: no such bundle, or weights that are missing, damaged or of another network.
        FileNotFoundError: no such weights.
    """

    def __init__(self, bundle: str | Path, checkpoint: str | Path | None = None, **settings: Any) -> None:
        folder = bundle_folder(bundle)
        _forget_scripts(folder)
        if checkpoint is not None:
            settings["checkpoint"] = literal(Path(checkpoint))
        # The window gives scans and support, so there is no dataset.
        built = bundle_workflow(folder, ["inference"], "infer", **{"dataset_dir": None, **settings})
        content = built.parser.get_parsed_content
        self.bundle = folder
        self.checkpoint = Path(content("checkpoint"))
        self.device: torch.device = content("device")
        self.network = content("network")
        load_weights(self.network, self.checkpoint)
        self.inferer = content("inferer")
        self.inferer.encode.keep = KEPT_BYTES
        self._prepare = Compose(content("prepare").steps)
        self._load_support: LoadSupportd = content("load_support")
        self._invert = content("postprocessing").transforms[0]
        self._prepared: WeakKeyDictionary[Scan, MetaTensor] = WeakKeyDictionary()
        self._lock = Lock()

    def segment(
        self,
        scan: Scan,
        supports: Sequence[Drawn],
        largest_components: int | None = None,
        tell: Callable[[int, int], object] = lambda done, number: None,
    ) -> Answer:
        """Segment every organ of the supports in a scan.

        Args:
            scan: to segment.
            supports: annotated scans.
            largest_components: see ``MergeOrgansd``.
            tell: called with what is done and what is to be done; what it raises ends the call, nothing is lost.

        Returns:
            Label map and confidence, bit by bit those of ``fewshot segment``.

        Raises:
            InputError: no support, an empty or unfit drawing, or a scan that cannot be used.
        """
        with self._lock, warnings_of_common() as warnings:
            tell(0, 1)
            files = {"image": [one.scan.volume for one in supports], "label": [one.label for one in supports]}
            query = self._query(scan)
            if not supports:
                raise InputError("no support: draw an organ on a scan and add it to the support")
            data: dict[Any, Any] = self._load_support({"image": query, "support_files": files})
            self.inferer.encode.tell = tell
            try:
                with eval_mode(self.network):
                    batch = data["image"].unsqueeze(0).to(self.device)
                    data["pred"] = self.inferer(inputs=batch, network=self.network)[0]
            finally:
                self.inferer.encode.tell = lambda done, number: None
            tell(1, 1)
            steps = [self._invert, MergeOrgansd("pred", largest_components), WarnOfAnswerd("pred")]
            data = Compose(steps)(data)
            return Answer(scan, data["pred"].cpu(), data["confidence"].cpu(), warnings)

    def _query(self, scan: Scan) -> MetaTensor:
        """Prepare a scan once; the copy's meta take a support."""
        if scan not in self._prepared:
            self._prepared[scan] = self._prepare({"image": scan.volume})["image"]
        prepared = self._prepared[scan]
        return MetaTensor(prepared.as_tensor()).copy_meta_from(prepared)


@contextmanager
def warnings_of_common() -> Iterator[list[str]]:
    """Collect what our own code warns of meanwhile in this thread's call, each line once."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(line) if (line := record.getMessage()) not in lines else None  # type: ignore[method-assign]
    ours = logging.getLogger(__name__.partition(".")[0])
    ours.addHandler(handler)
    try:
        yield lines
    finally:
        ours.removeHandler(handler)


def _forget_scripts(folder: Path) -> None:
    """Forget the ``scripts`` of other bundles: a process has room for those of one."""
    known = sys.modules.get("scripts")
    if known is None or Path(str(known.__file__)).parents[1] == folder:
        return
    sys.path[:] = [entry for entry in sys.path if not (Path(entry) / "configs").is_dir()]
    for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
        del sys.modules[name]
