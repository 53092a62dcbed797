"""Smurfs in images and videos: outlined, and named by kind."""
