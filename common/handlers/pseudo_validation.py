"""Validation without labels: episodes from the supervoxels of held-out scans, scored as a training goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from ignite.engine import Engine, Events
from monai.metrics import compute_dice
from monai.networks import eval_mode
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from ..data.cache import VolumeCache
from ..data.datalists import Item
from ..data.folds import training_items
from ..episodes import EpisodeLoader
from ..files.checkpoints import plain_network
from ..speed.ranks import is_first

logger = logging.getLogger(__name__)
_FELL = 0.8  # of its best: below it the training is said to go wrong


class PseudoLabelValidation:
    """Show after each epoch how well the network segments supervoxels in scans that it is not trained on.

    The same episodes are scored each time. They are those of training, with its augmentation and of another seed, so
    that the number says how far the training has come, and not how well organs are segmented.

    Args:
        data: held-out datalist; label maps are not read.
        dataset: of the training, whose preparation the scans get.
        loader: of the training's episodes.
        network: that is trained.
        log_dir: folder of the curve for TensorBoard.
        episodes: number scored.

    Attributes:
        scores: mean Dice after each epoch.
    """

    def __init__(
        self,
        data: Sequence[Item],
        dataset: VolumeCache,
        loader: EpisodeLoader,
        network: nn.Module,
        log_dir: str,
        episodes: int = 20,
    ) -> None:
        self.scans = len(data)
        self.loader = loader.on(dataset.on(training_items(data)), loader.seed + 1)
        self.network = plain_network(network)  # one process looks, the others go on
        self.log_dir = log_dir
        self.episodes = episodes
        self.scores: list[float] = []
        self._writer: SummaryWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Add to a trainer."""
        # Every process prepares the scans, since they wait for one another there; one process scores.
        engine.add_event_handler(Events.STARTED, self.loader.episodes, [0])
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._show)

    def score(self) -> float:
        """Return the mean Dice of the episodes; network and random numbers are left as they were."""
        with eval_mode(self.network):
            found = [self._episode(number) for number in range(self.episodes)]
        return float(torch.cat(found).nanmean())

    def _episode(self, number: int) -> torch.Tensor:
        batch = self.loader.episodes([number])
        scores = self.network(batch["image"], batch["support_image"], batch["support_mask"])
        return compute_dice(scores.argmax(1, keepdim=True), batch["label"]).flatten().cpu()

    def _show(self, engine: Engine) -> None:
        if not is_first():
            return
        score, epoch = self.score(), engine.state.epoch
        best = max(self.scores, default=0.0)
        self.scores.append(score)
        scans = f"{self.scans} held-out scan{'s' if self.scans > 1 else ''}"
        logger.info("epoch %d: Dice %.3f on supervoxels of %s", epoch, score, scans)
        if score < _FELL * best:
            logger.warning(
                "Dice on supervoxels fell to %.3f, it was %.3f %d epochs ago: the training may be going wrong; "
                "try half the learning_rate",
                score,
                best,
                len(self.scores) - 1 - self.scores.index(best),
            )
        self._writer = self._writer or SummaryWriter(log_dir=self.log_dir)
        self._writer.add_scalar("pseudo_label_dice", score, epoch)
        self._writer.flush()
