"""Files that are written whole, locks, hashes, paths in configurations, and what a file of weights holds."""
