"""Versions in memory: loaded, proved, batched, tried beside each other, and counted over all processes."""
