"""HTTP: routes, bodies, the endpoint's description and its page."""
