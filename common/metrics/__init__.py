"""Classification, multi-label, bootstrap confidence intervals and calibration."""
