"""One job for each scan, in this process or in several: prepare it into the staging folder, unless that was done."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ...errors import InputError, one_line
from ...files.hashing import hash_files
from ...speed.workers import in_workers
from . import chaos, folder, mscmr, sabs, visceral
from .base import Case
from .checks import problems, volumes_ml
from .write import Record, is_record, is_written, write_scan

CHALLENGES = {part.CHALLENGE.name: part.CHALLENGE for part in (chaos, sabs, mscmr, visceral, folder)}


@dataclass(frozen=True)
class Job:
    """A scan to prepare.

    Attributes:
        challenge: name of its adapter.
        case: its files.
        names: organ name to label value.
        output: folder where it may be already.
        staging: folder to write to.
        record: its record in the output, empty without one.
    """

    challenge: str
    case: Case
    names: dict[str, int]
    output: Path
    staging: Path
    record: Record = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The record of a prepared scan, ``kept`` where the output has it already, or the faults that it has."""

    subject: str
    record: Record = field(default_factory=dict)
    kept: bool = False
    faults: tuple[str, ...] = ()


def run_jobs(jobs: list[Job], num_workers: int | None = None) -> list[Outcome]:
    """Run all jobs under a progress bar.

    Args:
        jobs: what to do, each subject once.
        num_workers: processes; None: one for each core; 0 or 1: this process.

    Returns:
        Outcomes in the order of the jobs.

    Raises:
        RuntimeError: a process died.
    """
    workers = min(len(jobs), (os.cpu_count() or 1) if num_workers is None else num_workers)
    done: dict[str, Outcome] = {}
    with tqdm(total=len(jobs), desc="preparing scans", disable=None) as bar:
        for outcome in (
            map(run_job, jobs) if workers <= 1 else in_workers(run_job, [(job,) for job in jobs], workers, _one_thread)
        ):
            done[outcome.subject] = outcome
            bar.update()
    return [done[job.case.subject] for job in jobs]


def run_job(job: Job) -> Outcome:
    """Prepare one scan; bad input makes an outcome with faults, and nothing is written."""
    adapter, case = CHALLENGES[job.challenge], job.case
    version, inputs = f"{adapter.name}-{adapter.version}", _digest(job)
    if is_written(job.output, case.subject, job.record, version, inputs):
        return Outcome(case.subject, job.record, kept=True)
    with suppress(FileNotFoundError, ValueError):  # none waits, or a damaged one
        record = json.loads((job.staging / f"{case.subject}.json").read_bytes())
        if is_record(record) and is_written(job.staging, case.subject, record, version, inputs):
            return Outcome(case.subject, record)
    try:
        volumes = adapter.prepare(case)
    except InputError as error:
        return Outcome(case.subject, faults=(one_line(error),))
    values = [] if volumes.label is None else volumes.label.unique().int().tolist()
    names = job.names or {f"organ {value}": value for value in values if value}
    lines = [f"{case.labels[0]}: {line}" for line in problems(volumes, names, adapter)]
    if lines and adapter.strict:
        return Outcome(case.subject, faults=tuple(lines))
    organs = {} if volumes.label is None else volumes_ml(volumes.label, names)
    made = {"version": version, "inputs_sha256": inputs, "volumes_ml": organs, "warnings": lines}
    return Outcome(case.subject, write_scan(job.staging, case.subject, volumes, made))


def _one_thread() -> None:
    import itk
    import torch

    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
    torch.set_num_threads(1)


def _digest(job: Job) -> str:
    """Digest of the files' names and contents; the folders that they lie in do not count."""
    digest = hashlib.sha256(json.dumps(job.names).encode())
    for path in (job.case.image, *job.case.labels):
        digest.update(f"\0{path.name}\0".encode() + hash_files(path))
    return digest.hexdigest()
