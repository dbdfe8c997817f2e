"""How long a training will take, said once it is known."""

from __future__ import annotations

import time

from ignite.engine import Engine, Events

STEPS = 20  # what the first ones tell


class TimeEstimate:
    """Print, after twenty steps, how long the rest of a training will take.

    The first step is left out: it loads and compiles.
    """

    def attach(self, engine: Engine) -> None:
        """Add to a trainer."""
        self._done = 0
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)

    def _count(self, engine: Engine) -> None:
        self._done += 1
        if self._done == 1:
            self._start = time.monotonic()
        if self._done == STEPS and engine.state.max_epochs and engine.state.epoch_length:
            left = engine.state.max_epochs * engine.state.epoch_length - engine.state.iteration
            seconds = (time.monotonic() - self._start) / (STEPS - 1) * left
            print(f"{left} steps are left; at the pace of the first {STEPS} they take {_duration(seconds)}", flush=True)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.1f} {unit}"
    return f"about {max(1, round(seconds))} seconds"
