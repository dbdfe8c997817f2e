"""Evaluation protocols: which support slice segments which query slice."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import InputError


@dataclass(frozen=True)
class Protocol:
    """Pairing of support and query slices, one organ at a time.

    EP1 (Roy et al.; the ALPNet papers): both extents are cut into three chunks, one support slice segments each chunk.
    EP2 (ADNet, section 5.1): the middle support slice segments all slices of the query, whose extent stays unknown.
    k slices (SE-Net; LSNet): as EP1 with k chunks.
    EP2 from k slices (ours): k support slices, spread over the organ, segment all slices of the query one by one; their
    answers are averaged, those of slices that look like the query slice weighing more.

    Args:
        chunks: number of chunks of the organ's extent.
        shots: support slices per chunk and support volume.
        within_extent: segment only query slices of the organ's extent, which must be known.
        one_by_one: each support slice gives an answer of its own, which are averaged by likeness; otherwise the network
            joins the slices.
        chunk_rule: ``list`` cuts the list of labelled query slices at ``int(c n / C)``, ``equal`` puts slice i of it
            into chunk ``int(i C / n)``, ``range`` cuts the range from first to last.
        name: for messages.

    Raises:
        InputError: unknown ``chunk_rule`` or numbers below 1.
    """

    chunks: int = 1
    shots: int = 1
    within_extent: bool = False
    one_by_one: bool = False
    chunk_rule: str = "list"
    name: str = "custom"

    def __post_init__(self) -> None:
        if self.chunk_rule not in ("list", "range", "equal"):
            raise InputError(f"chunk_rule is list, range or equal, got {self.chunk_rule}")
        if self.chunks < 1 or self.shots < 1:
            raise InputError(f"chunks and shots are at least 1, got {self.chunks} and {self.shots}")

    def support_slices(self, labelled: list[int]) -> list[list[int]]:
        """Choose support slices.

        Args:
            labelled: slices of the support volume on which the organ is drawn, ascending, not empty.

        Returns:
            For each chunk its ``shots`` slices: those at the middle of equal parts, ``int(C (2 i + 1) / (2 n))``.
        """
        parts = self.chunks * self.shots
        picks = [labelled[len(labelled) * (2 * part + 1) // (2 * parts)] for part in range(parts)]
        return [picks[chunk * self.shots : (chunk + 1) * self.shots] for chunk in range(self.chunks)]

    def query_chunks(self, depth: int, extent: list[int] | None) -> list[int]:
        """Assign query slices to chunks.

        Args:
            depth: number of query slices.
            extent: slices on which the organ lies, ascending; not needed unless ``within_extent``.

        Returns:
            Chunk of each slice, -1 where the slice is not segmented.

        Raises:
            InputError: the extent is needed and unknown.
        """
        if not self.within_extent:
            extent = list(range(depth))
        elif extent is None:
            raise InputError(
                f"protocol {self.name} needs the query's organ range: "
                "give query_slices: [first, last] or use protocol ep2"
            )
        chunks = [-1] * depth
        if not extent:
            return chunks
        if self.chunk_rule == "range" and self.within_extent:
            first, last = extent[0], extent[-1]
            for index in range(first, last + 1):
                chunks[index] = min((index - first) * self.chunks // max(last - first, 1), self.chunks - 1)
        elif self.chunk_rule == "equal":
            for place, index in enumerate(extent):
                chunks[index] = place * self.chunks // len(extent)
        else:
            bounds = [chunk * len(extent) // self.chunks for chunk in range(self.chunks + 1)]
            for chunk in range(self.chunks):
                for index in extent[bounds[chunk] : bounds[chunk + 1]]:
                    chunks[index] = chunk
        return chunks


def named_protocol(name: str, shots: int = 1, chunk_rule: str = "list") -> Protocol:
    """Return the protocol ``ep1``, ``ep2``, ``k<number>`` or ``ep2k<number>``: ``k12`` for LSNet's 12 slices.

    Args:
        name: of the protocol.
        shots: support slices per chunk and support volume; ``ep2k3`` has three in their place.
        chunk_rule: of ``ep1``; k slices are always cut by ``equal``.

    Raises:
        InputError: unknown name.
    """
    if name == "ep1":
        return Protocol(chunks=3, shots=shots, within_extent=True, chunk_rule=chunk_rule, name=name)
    if name == "ep2":
        return Protocol(chunks=1, shots=shots, chunk_rule=chunk_rule, name=name)
    if re.fullmatch(r"k[1-9]\d*", name):
        return Protocol(chunks=int(name[1:]), shots=shots, within_extent=True, chunk_rule="equal", name=name)
    if re.fullmatch(r"ep2k[1-9]\d*", name):
        return Protocol(shots=int(name[4:]), one_by_one=True, name=name)
    raise InputError(f"protocol is ep1, ep2, k and a number such as k12, or ep2k and one such as ep2k3, got {name}")
