"""Adapters: from a challenge's download to a dataset folder at the published preprocessing."""

from __future__ import annotations

from .preparation import CHALLENGES, DamagedInputError, Summary, prepare

__all__ = ["CHALLENGES", "DamagedInputError", "Summary", "prepare"]
