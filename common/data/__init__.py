"""Declared sources, download, archive reading, image decoding, table schemas, atomic writes and splits."""
