"""`python -m challenges.radix_movies`."""

from challenges.radix_movies.cli import app
from common.cli import run

run(app)
