"""The command line: one module a group of verbs; heavy imports stay inside them, so that `--help` answers at once."""
