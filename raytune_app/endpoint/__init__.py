"""The endpoint from outside: what it is made of, how it is started, locked, asked and watched."""
