"""`python -m challenges.vinted`."""

from challenges.vinted.cli import app
from common.cli import run

run(app)
