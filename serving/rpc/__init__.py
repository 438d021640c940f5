"""gRPC: messages, methods, and the server that listens."""
