"""One package per challenge, each with the same rooms under the same names."""
