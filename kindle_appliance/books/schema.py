"""The tables of the books' file. All of it follows from the EPUB files, and is made anew if anything is amiss."""

from __future__ import annotations

from ..storage.migrations import Schema

LAYOUT = 1
"""Raise this when the tables change, or what reading a file finds: each appliance then reads its books anew."""

ROOM = 1 << 20
"""So many passages a book may have: those of book `n` have the ids from `n * ROOM` on. So two books can be read at
the same time, and a search in one is a range of ids."""

_TABLES = """
    CREATE TABLE books (
        id INTEGER PRIMARY KEY AUTOINCREMENT,    -- never used again while its passages may still be there
        name TEXT NOT NULL UNIQUE,               -- the SHA-256 of the file; of one that is deleted, its id
        state INTEGER NOT NULL,                  -- see `State` in catalogue.py
        size INTEGER NOT NULL,                   -- of the file, in bytes
        added REAL NOT NULL,                     -- Unix times; 0: not known
        removed REAL NOT NULL DEFAULT 0,
        is_removed INTEGER NOT NULL DEFAULT 0,
        title TEXT NOT NULL DEFAULT '',
        creator TEXT NOT NULL DEFAULT '',
        folded TEXT NOT NULL DEFAULT '',         -- title and creator, as they are looked for
        language TEXT NOT NULL DEFAULT '',
        direction TEXT NOT NULL DEFAULT 'ltr',
        length INTEGER NOT NULL DEFAULT 0,       -- characters
        faults TEXT NOT NULL DEFAULT '[]',       -- sentences, as JSON
        next INTEGER NOT NULL DEFAULT 0,         -- the id that its next passage would have
        rest INTEGER NOT NULL DEFAULT 0          -- the first id that is not deleted yet
    ) STRICT;
    CREATE INDEX by_added ON books (is_removed, added, name) WHERE state > 0;
    CREATE TABLE contents (
        book INTEGER PRIMARY KEY,
        chapters TEXT NOT NULL                   -- as JSON
    ) STRICT;
    CREATE TABLE passages (id INTEGER PRIMARY KEY, start INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
    CREATE TABLE remains (passages INTEGER NOT NULL) STRICT;  -- deleted ones whose words take room in the index
    INSERT INTO remains VALUES (0);
"""

SHELF = Schema(
    migrations=(*[""] * (LAYOUT - 1), _TABLES),
    essential=frozenset({"books", "contents", "passages", "remains", "sqlite_sequence"}),
    counted="books",
)
