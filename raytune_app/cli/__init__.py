"""The command line: one module per group of verbs; heavy imports stay inside the verbs so that `--help` answers at once."""
