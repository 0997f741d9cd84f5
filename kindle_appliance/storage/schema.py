"""The tables of the chats' file, as the steps that led to them. Only append: files of every version are in use."""

from __future__ import annotations

from ..ending import DAMAGED, LOST, Finish
from . import places, reports, rows
from .migrations import Schema

_LISTS = """
    ALTER TABLE chats ADD COLUMN name TEXT NOT NULL DEFAULT '';         -- given by a reader; '': none
    ALTER TABLE chats ADD COLUMN title TEXT NOT NULL DEFAULT '';        -- the beginning of the first question
    ALTER TABLE chats ADD COLUMN questions INTEGER NOT NULL DEFAULT 0;  -- the number of the newest turn,
    ALTER TABLE chats ADD COLUMN newest INTEGER NOT NULL DEFAULT 0;     -- its id,
    ALTER TABLE chats ADD COLUMN asked REAL NOT NULL DEFAULT 0;         -- and when it was asked
    CREATE INDEX by_newest ON chats (newest);
    DROP INDEX by_device;
    CREATE TABLE asked_in (  -- the chats in which a browser has asked, with its newest turn there
        chat INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
        device TEXT NOT NULL,
        newest INTEGER NOT NULL,
        PRIMARY KEY (chat, device)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX by_device ON asked_in (device, newest);
    DROP INDEX unfinished;
    CREATE INDEX unfinished ON turns (chat) WHERE finish IS NULL;
    CREATE TABLE search_span (low INTEGER NOT NULL, high INTEGER NOT NULL) STRICT;  -- see `storage/search.py`
"""

SUM_UP = """
    UPDATE chats SET
        title = coalesce(
            (SELECT substr(question, 1, 200) FROM turns WHERE chat = chats.id ORDER BY number LIMIT 1), ''
        ),
        (questions, newest) = (
            SELECT coalesce(max(number), 0), coalesce(max(id), 0) FROM turns WHERE chat = chats.id
        );
    UPDATE chats SET asked = coalesce((SELECT asked FROM turns WHERE id = chats.newest), 0);
    REPLACE INTO asked_in (chat, device, newest)
        SELECT chat, device, max(id) FROM turns WHERE device != '' GROUP BY chat, device;
"""
"""Derives from the turns what lists show of each chat. Later, each question keeps it true. What is known of
browsers is kept: their turns may be lost.
"""

CHATS = Schema(
    essential=frozenset({"chats", "turns"}),
    counted="chats",
    precious="turns",
    is_readable={"turns": rows.is_readable, "reports": reports.is_readable, "places": places.is_readable},
    marks={"turns": {"finish": Finish.INTERRUPTED.value, "note": DAMAGED.to_json()}},
    remnants={"turns": {"finish": Finish.FAILED.value, "note": LOST.to_json()}},
    remade=frozenset({"words"}),
    derived=SUM_UP,
    migrations=(
        """
        CREATE TABLE chats (
            id INTEGER PRIMARY KEY AUTOINCREMENT  -- never used again after a chat was deleted: addresses stay true
        );
        CREATE TABLE turns (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            chat INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,              -- 1, 2, 3 ... within the chat
            question TEXT NOT NULL,
            form TEXT NOT NULL,                   -- the one-time id of the form that sent it
            asked REAL NOT NULL,                  -- Unix time, seconds
            answer TEXT NOT NULL DEFAULT '',      -- raw Markdown, as far as it is stored
            finish TEXT,                          -- NULL while the answer is being written
            note TEXT,                            -- a sentence as JSON, or NULL
            model TEXT NOT NULL DEFAULT '',
            tokens INTEGER NOT NULL DEFAULT 0,
            UNIQUE (chat, number),
            UNIQUE (form, question)               -- the same form sent twice is one question
        );
        CREATE INDEX unfinished ON turns (id) WHERE finish IS NULL;
        """,
        """
        ALTER TABLE turns ADD COLUMN device TEXT NOT NULL DEFAULT '';  -- the browser that asked, by its cookie
        CREATE INDEX by_device ON turns (device, chat);
        """,
        """
        CREATE TABLE reports (id INTEGER PRIMARY KEY, received REAL NOT NULL, report TEXT NOT NULL) STRICT;
        """,
        """
        CREATE TABLE quotas (  -- models that are out for the day, and when that was said (Unix time)
            model TEXT PRIMARY KEY,
            moment REAL NOT NULL
        ) STRICT;
        ALTER TABLE turns ADD COLUMN rung INTEGER NOT NULL DEFAULT 0;  -- in the list of models; 0 is the first
        """,
        """
        CREATE TABLE asked (  -- how many questions each reader has asked on a day of the house
            day TEXT NOT NULL,
            reader TEXT NOT NULL,
            questions INTEGER NOT NULL,
            PRIMARY KEY (day, reader)
        ) STRICT, WITHOUT ROWID;
        """,
        """
        ALTER TABLE quotas ADD COLUMN key TEXT NOT NULL DEFAULT '';  -- a digest, too short to try keys against
        """,
        """
        -- A quota belongs to a model at a place (a server and its key), and is back at a moment that the server's
        -- dialect knows. The rows of before lack both; at worst one refused request for each model tells it again.
        DROP TABLE quotas;
        CREATE TABLE quotas (
            place TEXT NOT NULL,   -- address, and a digest of the key, too short to be tried against
            model TEXT NOT NULL,
            said REAL NOT NULL,    -- when the server refused, and when it will not any more; both Unix time
            until REAL NOT NULL,
            PRIMARY KEY (place, model)
        ) STRICT;
        -- The name of the provider has become a value of the sentences under answers. (CASE, because SQLite may
        -- evaluate AND in any order, and a note that is no JSON would be an error.)
        UPDATE turns SET note = json_set(
            note, '$[0]', replace(json_extract(note, '$[0]'), 'Gemini', '%(provider)s'), '$[2].provider', 'Gemini'
        ) WHERE CASE WHEN json_valid(note) THEN
            json_extract(note, '$[0]') LIKE '%Gemini%' AND json_extract(note, '$[0]') NOT LIKE '%Google%'
            AND json_extract(note, '$[0]') NOT LIKE '%owner can %'
        END;
        UPDATE turns SET note = json_set(
            note, '$[0]', replace(json_extract(note, '$[0]'), 'Google', '%(provider)s'), '$[2].provider', 'Gemini'
        ) WHERE CASE WHEN json_valid(note) THEN
            json_extract(note, '$[0]') LIKE 'The appliance does not reach Google%'
            OR json_extract(note, '$[0]') LIKE 'The secure connection to Google failed%'
        END;
        """,
        """
        ALTER TABLE turns ADD COLUMN next_rung INTEGER NOT NULL DEFAULT 0;  -- a model to offer after a silent one
        """,
        """
        CREATE TEMP TABLE asked_before AS SELECT * FROM asked;
        DROP TABLE asked;
        CREATE TABLE asked (  -- how many questions each reader has asked on a day of the house, and from where
            day TEXT NOT NULL,
            address TEXT NOT NULL,  -- '': not known, from before this step
            reader TEXT NOT NULL,
            questions INTEGER NOT NULL,
            PRIMARY KEY (day, address, reader)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO asked SELECT day, '', reader, questions FROM asked_before;
        DROP TABLE asked_before;
        """,
        """
        CREATE TABLE pieces (  -- a log of growing text: all answers append at its end, which is one page
            id INTEGER PRIMARY KEY,
            turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
            at INTEGER NOT NULL,   -- characters of the answer before this piece
            text BLOB NOT NULL     -- packed by zlib: each further page of the log costs the card four
        ) STRICT;
        CREATE TABLE days (  -- of `asked`, in the order in which they were counted on: a clock can jump
            day TEXT PRIMARY KEY,
            number INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        INSERT INTO days SELECT day, row_number() OVER (ORDER BY day) FROM (SELECT DISTINCT day FROM asked);
        """,
        _LISTS + SUM_UP,
        """
        -- The models of the list before the one that answered, each with the reason, as JSON; and when the first
        -- quota is back if all were used up (Unix time; else 0).
        ALTER TABLE turns ADD COLUMN passed TEXT NOT NULL DEFAULT '';
        ALTER TABLE turns ADD COLUMN back_at REAL NOT NULL DEFAULT 0;
        """,
        """
        CREATE TABLE waiting (  -- turns that failed because all quotas were used up, and are to be asked again
            turn INTEGER PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE,
            at REAL NOT NULL,        -- when, and when that was known; both Unix time
            said REAL NOT NULL,
            taken INTEGER NOT NULL,  -- their order
            times INTEGER NOT NULL   -- how often each has waited before
        ) STRICT;
        """,
        """
        CREATE TABLE places (  -- how far each browser's reader is in each book
            told INTEGER PRIMARY KEY,  -- their order, because a clock can jump
            book TEXT NOT NULL,        -- the SHA-256 of its file
            device TEXT NOT NULL,
            position INTEGER NOT NULL, -- in characters, of so many that the book was read as then
            length INTEGER NOT NULL,
            moment REAL NOT NULL,      -- Unix time
            UNIQUE (device, book)
        ) STRICT;
        CREATE INDEX places_in_book ON places (book);
        """,
    ),
)
