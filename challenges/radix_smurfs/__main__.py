"""`python -m challenges.radix_smurfs`."""

from challenges.radix_smurfs.cli import app
from common.cli import run

run(app)
