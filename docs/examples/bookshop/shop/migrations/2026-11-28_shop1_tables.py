"""The tables, and what tells of changes of the stock."""

import sqlalchemy as sa
from alembic import op

revision = "shop1"
down_revision = None
branch_labels = ("shop",)
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# MariaDB wants to know how long what it has an index of can be.
TEXT = sa.Text().with_variant(sa.String(200), "mysql")
# There, texts are compared as they are; in most of its collations Zola is zola, and Čapek is Capek.
EXACT = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

# What the ticker tells, recorded by whatever changes the stock; the last thousand are kept.
TELL = {
    "sqlite": [
        """
        CREATE TRIGGER IF NOT EXISTS stock_has_changed AFTER UPDATE OF stock ON books
        WHEN new.stock <> old.stock
        BEGIN
            INSERT INTO stock_changes (book_id, stock) VALUES (new.id, new.stock);
            DELETE FROM stock_changes WHERE id <= (SELECT max(id) FROM stock_changes) - 1000;
        END
        """
    ],
    # At the end of a transaction, and one transaction after the other from there to its commit:
    # so changes are numbered in the order in which others see them, and without gaps.
    "postgresql": [
        """
        CREATE FUNCTION tell_change_of_stock() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE number bigint;
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtext('stock_changes'));
            SELECT coalesce(max(id), 0) + 1 INTO number FROM stock_changes;
            INSERT INTO stock_changes (id, book_id, stock) VALUES (number, new.id, new.stock);
            DELETE FROM stock_changes WHERE id <= number - 1000;
            RETURN NULL;
        END $$
        """,
        """
        CREATE CONSTRAINT TRIGGER stock_has_changed AFTER UPDATE OF stock ON books
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.stock <> old.stock)
        EXECUTE FUNCTION tell_change_of_stock()
        """,
    ],
    # MariaDB has nothing that runs at the end of a transaction. So the row with the newest number is
    # locked from a transaction's first change on, and orders lock their books before that.
    "mysql": [
        "CREATE TABLE stock_number (newest BIGINT NOT NULL)",
        "INSERT INTO stock_number VALUES (0)",
        # Whoever adds books locks its row first: it has no lock for a transaction but those of rows.
        "CREATE TABLE catalogue_lock (only_row BIGINT NOT NULL)",
        "INSERT INTO catalogue_lock VALUES (1)",
        """
        CREATE TRIGGER stock_has_changed AFTER UPDATE ON books FOR EACH ROW
        IF new.stock <> old.stock THEN
            UPDATE stock_number SET newest = newest + 1;
            INSERT INTO stock_changes (id, book_id, stock) SELECT newest, new.id, new.stock FROM stock_number;
            DELETE FROM stock_changes WHERE id <= (SELECT newest FROM stock_number) - 1000;
        END IF
        """,
    ],
}


def upgrade() -> None:
    # "If not exists": a shop that was opened before it had migrations goes on with its tables.
    op.create_table(
        "authors",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("name", TEXT, nullable=False, unique=True),
        sa.Column("born", sa.Integer),
        sa.Column("died", sa.Integer),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "books",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("author_id", NUMBER, sa.ForeignKey("authors.id"), nullable=False),
        sa.Column("published", sa.Integer, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.Column("stock", sa.Integer, nullable=False),
        sa.CheckConstraint("price_cents >= 0"),
        sa.CheckConstraint("stock >= 0"),
        sa.UniqueConstraint("author_id", "title"),
        if_not_exists=True,
        **EXACT,
    )
    op.create_table(
        "orders",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("placed_at", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "order_lines",
        sa.Column("order_id", NUMBER, sa.ForeignKey("orders.id"), primary_key=True),
        sa.Column("book_id", NUMBER, sa.ForeignKey("books.id"), primary_key=True),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.CheckConstraint("quantity > 0"),
        if_not_exists=True,
    )
    op.create_table(
        "stock_changes",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("book_id", NUMBER, sa.ForeignKey("books.id"), nullable=False),
        sa.Column("stock", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    for statement in TELL[op.get_context().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for table in ("stock_changes", "order_lines", "orders", "books", "authors"):
        op.drop_table(table)
    match op.get_context().dialect.name:
        case "postgresql":
            op.execute("DROP FUNCTION tell_change_of_stock()")
        case "mysql":
            op.drop_table("stock_number")
            op.drop_table("catalogue_lock")
