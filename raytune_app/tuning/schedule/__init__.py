"""When trials are judged, paused, resumed and stopped: decisions without Ray, clock or files."""
