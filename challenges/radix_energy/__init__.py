"""Household types behind hourly electricity series."""
