"""Books are found by the words of their titles and authors."""

from alembic import op

revision = "shop2"
down_revision = "shop1"
branch_labels = None
depends_on = None

# covet: allow lock (a catalogue is written in a moment, and has few writers)

SEARCH = {
    "sqlite": [
        """
        CREATE VIRTUAL TABLE book_words
        USING fts5 (title, author, tokenize = 'unicode61 remove_diacritics 0')
        """,
        """
        INSERT INTO book_words (rowid, title, author)
        SELECT books.id, title, name FROM books JOIN authors ON authors.id = author_id
        """,
        """
        CREATE TRIGGER book_is_new AFTER INSERT ON books BEGIN
            INSERT INTO book_words (rowid, title, author) VALUES (new.id, new.title, (SELECT name FROM authors WHERE id = new.author_id));
        END
        """,
        """
        CREATE TRIGGER book_is_renamed AFTER UPDATE OF title, author_id ON books BEGIN
            UPDATE book_words SET title = new.title, author = (SELECT name FROM authors WHERE id = new.author_id) WHERE rowid = new.id;
        END
        """,
        """
        CREATE TRIGGER book_is_gone AFTER DELETE ON books BEGIN
            DELETE FROM book_words WHERE rowid = old.id;
        END
        """,
        """
        CREATE TRIGGER author_is_renamed AFTER UPDATE OF name ON authors BEGIN
            UPDATE books SET title = title WHERE author_id = new.id;
        END
        """,
    ],
    "postgresql": [
        "ALTER TABLE books ADD COLUMN words tsvector",
        """
        CREATE FUNCTION find_words_of_book() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN -- lower-case letters are Unicode's, whatever the database's locale knows of them
            new.words = to_tsvector(
                'simple', regexp_replace(lower((new.title || ' ' || (SELECT name FROM authors WHERE id = new.author_id)) COLLATE "und-x-icu"), '[[:punct:]]+', ' ', 'g'));
            RETURN new;
        END $$
        """,
        """
        CREATE TRIGGER words_of_book BEFORE INSERT OR UPDATE OF title, author_id ON books
        FOR EACH ROW EXECUTE FUNCTION find_words_of_book()
        """,
        """
        CREATE FUNCTION find_words_of_author() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE books SET title = title WHERE author_id = new.id;
            RETURN NULL;
        END $$
        """,
        """
        CREATE TRIGGER words_of_author AFTER UPDATE OF name ON authors
        FOR EACH ROW EXECUTE FUNCTION find_words_of_author()
        """,
        "UPDATE books SET title = title",
        "CREATE INDEX book_words ON books USING gin (words)",
    ],
    "mysql": [
        "ALTER TABLE books ADD COLUMN words text",
        # Its index leaves out words of one or two letters and what it takes for common: the w_ before each
        # lets it have them all.
        """
        CREATE FUNCTION words_of(
            title text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, author_id bigint
        ) RETURNS text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin READS SQL DATA
        RETURN regexp_replace(lower(concat(' ', title, ' ', (SELECT name FROM authors WHERE authors.id = author_id))), '[^[:alnum:]]+', ' w_')
        """,
        """
        CREATE TRIGGER words_of_new_book BEFORE INSERT ON books FOR EACH ROW
        SET new.words = words_of(new.title, new.author_id)
        """,
        """
        CREATE TRIGGER words_of_book BEFORE UPDATE ON books FOR EACH ROW
        IF NOT (new.title <=> old.title AND new.author_id <=> old.author_id AND new.words <=> old.words) THEN
            SET new.words = words_of(new.title, new.author_id);
        END IF
        """,
        """
        CREATE TRIGGER words_of_author AFTER UPDATE ON authors FOR EACH ROW
        UPDATE books SET words = '' WHERE author_id = new.id
        """,
        "UPDATE books SET words = ''",
        "CREATE FULLTEXT INDEX book_words ON books (words)",
    ],
}
NO_SEARCH = {
    "sqlite": [
        "DROP TRIGGER author_is_renamed",
        "DROP TRIGGER book_is_gone",
        "DROP TRIGGER book_is_renamed",
        "DROP TRIGGER book_is_new",
        "DROP TABLE book_words",
    ],
    "postgresql": [
        "DROP TRIGGER words_of_author ON authors",
        "DROP FUNCTION find_words_of_author()",
        "DROP TRIGGER words_of_book ON books",
        "DROP FUNCTION find_words_of_book()",
        "ALTER TABLE books DROP COLUMN words",
    ],
    "mysql": [
        "DROP INDEX book_words ON books",
        "DROP TRIGGER words_of_author",
        "DROP TRIGGER words_of_book",
        "DROP TRIGGER words_of_new_book",
        "DROP FUNCTION words_of",
        "ALTER TABLE books DROP COLUMN words",
    ],
}


def upgrade() -> None:
    for statement in SEARCH[op.get_context().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in NO_SEARCH[op.get_context().dialect.name]:
        op.execute(statement)
