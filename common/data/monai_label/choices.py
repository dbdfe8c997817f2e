"""What MONAI Label offers its clients to choose from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .server import datastore, labelled_names


class SupportChoices(list[str]):
    """The labelled studies as the server shows them, the newest first behind an empty entry for none of them.

    MONAI Label builds a model's options once, when it starts, and shows them at every ``/info/``: this list says each
    time what is labelled then. Each request begins with a copy of all options, and in a copy nothing is chosen.
    """

    def __iter__(self) -> Iterator[str]:
        store = datastore()
        return iter(["", *(labelled_names(store) if store is not None else [])])

    def __deepcopy__(self, memo: Any) -> str:
        return ""
