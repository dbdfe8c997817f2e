"""What TensorBoard's files say of a training."""

from __future__ import annotations

from pathlib import Path


class LossCurve:
    """The loss of a training, also of one that is running.

    Args:
        folder: of TensorBoard's files; it may come later.
        points: at most, thinned.
    """

    def __init__(self, folder: Path, points: int = 200) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        self.folder = folder
        self._events = EventAccumulator(str(folder), size_guidance={"scalars": points})

    def read(self) -> tuple[list[int], list[float]]:
        """Return iterations and losses so far."""
        if not self.folder.is_dir():
            return [], []
        self._events.Reload()
        loss = self._events.Scalars("loss") if "loss" in self._events.Tags()["scalars"] else []
        return [event.step for event in loss], [round(event.value, 5) for event in loss]
