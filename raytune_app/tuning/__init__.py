"""Studies: where configurations come from, which trials go on, what is written down, and who wins."""
