"""One explicit training loop, schedules, EMA, early stopping, checkpoints and seeding."""
