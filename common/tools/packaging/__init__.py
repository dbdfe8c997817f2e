"""Bundles on their way out: self-contained folders for others, frozen networks for servers."""
