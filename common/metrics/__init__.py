"""Classification, multi-label, ranking, clicks, agreement, bootstrap confidence intervals and calibration."""
