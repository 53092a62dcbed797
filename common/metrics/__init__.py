"""Classification, multi-label, ranking, clicks, clustering, masks, agreement, calibration and bootstrap intervals."""
