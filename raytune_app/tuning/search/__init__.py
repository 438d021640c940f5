"""Which configuration a new trial gets: without Ray."""
