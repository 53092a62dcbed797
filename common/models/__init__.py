"""Pretrained image backbones that load without a network."""
