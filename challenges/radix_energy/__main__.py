"""`python -m challenges.radix_energy`."""

from challenges.radix_energy.cli import app
from common.cli import run

run(app)
