"""Files that are written whole, locks, hashes, and what a file of weights holds."""
