"""`python -m challenges.radix_neurips`."""

from challenges.radix_neurips.cli import app
from common.cli import run

run(app)
