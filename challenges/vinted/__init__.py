"""Category, tags and colour of clothes from their photos."""
