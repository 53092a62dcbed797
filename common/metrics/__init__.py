"""Classification, multi-label, ranking, clicks, bootstrap confidence intervals and calibration."""
