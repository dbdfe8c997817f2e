"""The first step of every preprocessing: files become volumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..data.reading import check_label, check_scan, read_label, read_scan

_LABELS = ("label", "stored_label")


class LoadScansd(MapTransform):
    """Read scans and label maps, with every check of ``common.data.reading``.

    Files become volumes ``(1, X, Y, Z)``; a volume that is there already, for instance of a server's memory, is only
    checked. Label maps get the axes of their image.

    Args:
        keys: keys of paths; ``label`` and ``stored_label`` are label maps of ``image``.
        allow_missing_keys: skip keys that are absent.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with volumes in place of paths.

        Raises:
            InputError: naming the file, what was found in it and the fix.
        """
        d = dict(data)
        for key in sorted(self.key_iterator(d), key=_LABELS.__contains__):  # labels need their image
            value = d[key]
            loaded = isinstance(value, MetaTensor)
            if key in _LABELS:
                image = d.get("image")
                d[key] = check_label(value, image) if loaded else read_label(value, image)
            else:
                d[key] = check_scan(value) if loaded else read_scan(value)
        return d
