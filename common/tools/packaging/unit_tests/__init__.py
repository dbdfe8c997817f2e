"""Unit tests that a bundle takes along to the model zoo's ``ci/unit_tests``; ``package`` writes them by its name."""
