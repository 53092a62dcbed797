"""One module a version, each made from the one before; a version that was released is never edited."""
