"""Studies as jobs of a Ray cluster: sent there with their code, queued, kept alive, listed and stopped."""
