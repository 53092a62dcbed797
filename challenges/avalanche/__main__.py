"""`python -m challenges.avalanche`."""

from challenges.avalanche.cli import app
from common.cli import run

run(app)
