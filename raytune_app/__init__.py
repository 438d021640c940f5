"""Tune, train and serve convolutional networks on Ray: from one experiment file to an answering endpoint."""

__version__ = "0.4.0"
