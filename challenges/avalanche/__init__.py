"""Themes of open survey answers: found by machine, coded with analysts, shown to clients."""
