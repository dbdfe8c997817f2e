"""Torch's global generators as part of a training's state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class RandomState:
    """Torch's global generators, from which layers such as dropout draw."""

    def __init__(self) -> None:
        self._held: dict[str, Any] | None = None

    def hold(self) -> None:
        """Remember the state at the end of an epoch."""
        self._held = self._now()

    def release(self) -> None:
        """Go back to what was remembered: the next epoch begins as if nothing had been drawn meanwhile."""
        if self._held is not None:
            held, self._held = self._held, None
            self.load_state_dict(held)

    def state_dict(self) -> dict[str, Any]:
        return self._held or self._now()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["cpu"])
        # On another number of GPUs a run goes on, but not bit for bit.
        if len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])

    @staticmethod
    def _now() -> dict[str, Sequence[torch.Tensor] | torch.Tensor]:
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}
