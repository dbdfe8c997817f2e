"""Prepare a challenge's download: find its scans, prepare each, publish all or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ...errors import InputError
from . import folder
from .base import Challenge, Findings
from .description import read_records, write_description
from .jobs import CHALLENGES, Job, run_jobs
from .staging import publish, staging_folder


class DamagedInputError(InputError):
    """Scans of a download cannot be used; ``faults`` has one line for each fault."""

    def __init__(self, message: str, faults: list[str]) -> None:
        super().__init__(message)
        self.faults = faults


@dataclass
class Summary:
    """What was done: subjects ``prepared`` now and ``kept`` from before, the number of folds, and what was found."""

    output: Path
    prepared: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    folds: int = 0
    missing: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def prepare(
    challenge: str,
    input_dir: str | Path,
    output_dir: str | Path,
    num_workers: int | None = None,
    skip_damaged: bool = False,
    say: Callable[[str], object] = tqdm.write,
    channel: int | str | None = None,
    allow_outside: bool = False,
) -> Summary:
    """Make a dataset folder of a download: NIfTI files at the published preprocessing, ``dataset.json`` with folds.

    Finished scans wait in a hidden folder beside the output until all are sound and then take its place in one step:
    at every instant it is complete or untouched, and an interrupted run continues where it stopped. A scan of the
    output that was made of the same files by the same version is kept; scans of earlier calls stay.

    Args:
        challenge: "chaos", "sabs", "mscmr", "visceral" or "folder".
        input_dir: folder as downloaded and unpacked.
        output_dir: folder to write; new, or made by an earlier call.
        num_workers: processes; None: one for each core; 0 or 1: this process.
        skip_damaged: leave damaged scans out instead of refusing all.
        say: gets one line for each thing found, missing, left alone or wrong.
        channel: of a "folder" whose subjects have several, see ``load_datalist``.
        allow_outside: as for ``load_datalist``, of a "folder".

    Returns:
        What was done.

    Raises:
        DamagedInputError: scans cannot be used, each fault in one line; nothing was changed in the output.
        InputError: unknown challenge or layout, the output folder holds something else, or another process prepares it.
        WriteError: the disk is full or cannot be written to; nothing was changed in the output.
    """
    if challenge not in CHALLENGES:
        raise InputError(f"unknown challenge {challenge!r}; known: {', '.join(CHALLENGES)}")
    adapter = CHALLENGES[challenge]
    if challenge == folder.CHALLENGE.name:
        adapter = replace(adapter, find=partial(folder.find, channel=channel, allow_outside=allow_outside))
    elif channel is not None or allow_outside:
        raise InputError(f"channel and allow_outside are for the challenge folder; {challenge} has neither")
    source, output = Path(input_dir).expanduser().absolute(), Path(output_dir).expanduser().absolute()
    if output.is_symlink():
        output = output.resolve()
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; name the folder of the download")
    if output.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{output}: lies inside of the input {source}; choose an output elsewhere")
    with staging_folder(output) as staging:
        records = read_records(output, adapter)
        found = _find(adapter, source, say)
        names = adapter.labels if found.labels is None else found.labels
        outcomes = run_jobs(
            [Job(challenge, case, names, output, staging, records.get(case.subject, {})) for case in found.cases],
            num_workers,
        )
        faults = [*found.faults, *(fault for outcome in outcomes for fault in outcome.faults)]
        for fault in faults:
            say(f"fault: {fault}")
        sound = [outcome for outcome in outcomes if not outcome.faults]
        if faults and (not skip_damaged or not sound):
            raise DamagedInputError(
                f"{source}: {len(faults)} faults, {len(sound)} sound scans; {output} was not changed; repair the "
                f"download or leave the damaged scans out (skip_damaged); first fault: {faults[0]}",
                faults,
            )
        summary = Summary(output, missing=found.missing, left_alone=found.left_alone)
        for outcome in sound:
            (summary.kept if outcome.kept else summary.prepared).append(outcome.subject)
            summary.warnings += outcome.record["warnings"]
            records[outcome.subject] = outcome.record
        describe = partial(write_description, challenge=adapter, names=names, records=records)
        summary.folds = publish(staging, output, summary.prepared, describe)
    for line in summary.warnings:
        say(f"warning: {line}")
    say(f"{output}: {len(summary.prepared)} scans prepared, {len(summary.kept)} kept, {summary.folds} folds")
    return summary


def _find(adapter: Challenge, source: Path, say: Callable[[str], object]) -> Findings:
    found = adapter.find(source)
    if not found.cases and not found.faults:
        packed = sorted(path.name for path in source.glob("*.zip"))
        fix = f"unpack {packed[0]} first" if packed else "name the folder as downloaded and unpacked"
        raise InputError(f"{source}: no {adapter.layout}, as {adapter.title} has them; {fix}")
    twice = {subject for subject, count in Counter(case.subject for case in found.cases).items() if count > 1}
    found.faults += [
        f"{case.image}: subject {case.subject} is there twice" for case in found.cases if case.subject in twice
    ]
    found.cases = [case for case in found.cases if case.subject not in twice]
    say(f"found: {len(found.cases)} scans of {adapter.title} in {source}")
    for line in found.left_alone:
        say(f"left alone: {line}")
    for line in found.missing:
        say(f"missing: {line}")
    return found
