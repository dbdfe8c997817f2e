"""The processes that train one network together, under ``torch.distributed``.

Ignite tells ranks too, but the first time that it is asked all processes must ask: it counts them by a collective.
"""

from __future__ import annotations

from torch import distributed


def rank_and_size() -> tuple[int, int]:
    """Return the number of this process and how many there are: 0 and 1 where it is alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def is_first() -> bool:
    """Tell whether this process is the one that writes what all share."""
    return rank_and_size()[0] == 0


def wait_for_others() -> None:
    """Wait until every process is here."""
    if rank_and_size()[1] > 1:
        distributed.barrier()
