"""Where the runs of a cross-validation are executed: on this machine, on a Ray cluster, or as a SLURM array."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from ...errors import InputError
from ...files.writing import write_text
from ...stopping import MERCY, end_processes
from .execution import execute
from .runs import Experiment, Run

Task = tuple[Experiment, Run]  # a run, and what it shares with others


def run_locally(tasks: Sequence[Task], jobs: int = 1) -> list[Path]:
    """Execute runs on this machine, so many at a time, each in processes of its own, and return their result files.

    Raises:
        InputError: runs failed; the others were executed all the same.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(execute, *task) for task in tasks]
        try:
            for _ in tqdm(as_completed(futures), total=len(futures), desc="runs", disable=None):
                pass
        except BaseException:  # Ctrl-C: runs that have not begun do not, those that have write a checkpoint
            pool.shutdown(wait=False, cancel_futures=True)
            end_processes()
            raise
    _check_failures([str(error) for future in futures if (error := future.exception()) is not None], len(tasks))
    return [future.result() for future in futures]


def run_on_ray(tasks: Sequence[Task], address: str | None = None, cpus: int = 1) -> list[Path]:
    """Execute runs on the nodes of a Ray cluster and return their result files.

    Where the cluster has GPUs, a run takes one for each of its processes.

    Args:
        tasks: those with a result file are skipped; folders by the same path on all nodes.
        address: of the cluster; None takes the one in RAY_ADDRESS, or starts one on this machine.
        cpus: cores per run.

    Raises:
        InputError: Ray is not installed, or runs failed.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError('engine ray needs Ray: pip install "fewshot-bundles[ray]"') from error
    ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    gpus = tasks[0][0].processes if ray.cluster_resources().get("GPU", 0) else 0
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=1)(execute)
    begun = [remote.remote(*task) for task in tasks]
    results, failed = [], []
    for one in tqdm(begun, desc="runs", disable=None):
        try:
            results.append(ray.get(one))
        except ray.exceptions.RayTaskError as error:
            failed.append(str(error.cause))
        except KeyboardInterrupt:
            for other in begun:
                ray.cancel(other)
            ray.wait(begun, num_returns=len(begun), timeout=MERCY)
            raise
    _check_failures(failed, len(tasks))
    return results


def write_slurm(output: Path, arguments: Sequence[str], number: int, gpus: int = 1) -> Path:
    """Write ``crossval.sbatch`` into a folder: a SLURM array whose task i executes run i.

    Args:
        output: folder, also of the tasks' logs.
        arguments: of ``fewshot crossval``, without the engine.
        number: of runs.
        gpus: per task.
    """
    script = output / "crossval.sbatch"
    lines = [
        "#!/bin/bash",
        f"#SBATCH --array=0-{number - 1}",
        f"#SBATCH --gres=gpu:{gpus}" if gpus else "#SBATCH --cpus-per-task=4",
        f"#SBATCH --output={output.absolute()}/slurm-%A_%a.log",
        f"fewshot crossval {shlex.join(arguments)} --task $SLURM_ARRAY_TASK_ID",
    ]
    write_text(script, "\n".join(lines) + "\n")
    return script


def _check_failures(faults: Sequence[str], runs: int) -> None:
    if faults:
        each_once = "; ".join(dict.fromkeys(faults))
        raise InputError(f"{len(faults)} of {runs} runs failed, start again to repeat them: {each_once}")
