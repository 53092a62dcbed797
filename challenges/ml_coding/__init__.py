"""The algorithms of a coding round, each written out once in NumPy and held against the library everyone trusts."""
