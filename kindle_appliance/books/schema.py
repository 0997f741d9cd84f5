"""The tables of the books' file. All of it follows from the EPUB files, and is made anew if anything is amiss."""

from __future__ import annotations

from ..storage.migrations import Schema
from .words import INDEX

LAYOUT = 1
"""Raise this when the tables change, or what reading a file finds: each appliance then reads its books anew."""

ROOM = 1 << 20
"""So many passages a book may have. Those of book `n` have the ids from `n * ROOM` on: books are read at the same
time without mixing, and a search in one is a range of ids."""

_TABLES = """
    CREATE TABLE books (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,               -- the SHA-256 of the file
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
        length INTEGER NOT NULL DEFAULT 0,
        faults TEXT NOT NULL DEFAULT '[]',       -- sentences, as JSON
        first INTEGER NOT NULL,                  -- the ids of its passages,
        last INTEGER NOT NULL,
        indexed INTEGER NOT NULL                 -- and of the last one that is in the index
    ) STRICT;
    CREATE INDEX by_added ON books (is_removed, added, name) WHERE state > 0;
    CREATE TABLE contents (
        book INTEGER PRIMARY KEY,
        chapters TEXT NOT NULL                   -- as JSON
    ) STRICT;
    CREATE TABLE passages (id INTEGER PRIMARY KEY, start INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
"""

SHELF = Schema(
    migrations=(*[""] * (LAYOUT - 1), _TABLES + INDEX),
    essential=frozenset({"books", "passages"}),
    counted="books",
)
