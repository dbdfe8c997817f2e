"""Results on the disk: what they are called, whose they are, and how pictures of them look."""

from .answers import name_answers

__all__ = ["name_answers"]
