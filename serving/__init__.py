"""The endpoint: registered models behind the Open Inference Protocol, on Ray Serve."""
