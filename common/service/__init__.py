"""The web-service factory: a model in, a service out."""
