"""Ids of projects and questions are never given twice."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table; ids that are there were given."""
    last = op.create_table(
        "last_id",
        sa.Column("of", sa.String(20), primary_key=True),
        sa.Column("id", sa.Integer, nullable=False),
    )
    for name in ("project", "question"):
        highest = sa.select(sa.literal(name), sa.func.coalesce(sa.func.max(sa.table(name, sa.column("id")).c.id), 0))
        op.execute(sa.insert(last).from_select(["of", "id"], highest))


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("last_id")
