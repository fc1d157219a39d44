"""The built-in backends, one module each; `sqdr.registry` loads them by name."""
