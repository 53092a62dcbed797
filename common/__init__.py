"""What every challenge shares; knows nothing of any challenge."""
