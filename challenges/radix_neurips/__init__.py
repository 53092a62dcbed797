"""Papers similar to an abstract."""
