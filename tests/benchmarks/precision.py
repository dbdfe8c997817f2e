"""What encoding in bfloat16 saves on this processor: ResNet-101, slices of 256 x 256 pixels.

python -m tests.benchmarks.precision
"""

import time
from statistics import median

import torch

from common.inferers.precision import encode
from common.networks import FewShotSegmenter, ResNetEncoder

SLICES, ROUNDS = 2, 5


def main() -> None:
    """Take turns, so that what else the machine does hits both alike; print milliseconds of processor time a slice."""
    torch.manual_seed(0)
    segmenter = FewShotSegmenter(ResNetEncoder(101)).eval()
    images = torch.randn(SLICES, 1, 256, 256)
    seconds: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    with torch.no_grad():
        for turn in range(ROUNDS + 1):
            for precision, taken in seconds.items():
                start = time.process_time()
                encode(segmenter, images, precision)
                if turn > 0:  # the first warms up
                    taken.append((time.process_time() - start) / SLICES)
    for precision, taken in seconds.items():
        print(f"{precision}: {1000 * median(taken):.0f} ms ({1000 * min(taken):.0f} to {1000 * max(taken):.0f})")
    print(f"ratio of the medians: {median(seconds['float32']) / median(seconds['bfloat16']):.2f}")


if __name__ == "__main__":
    main()
