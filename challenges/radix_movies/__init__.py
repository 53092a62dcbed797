"""Genres of films from synopsis and poster."""
