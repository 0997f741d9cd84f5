"""Chats for the start of a test."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS


def write_chats(file: Path, *questions: str) -> None:
    """Write a database with a chat for each question, unanswered."""
    with closing(Database(file, CHATS)) as database:
        for number, question in enumerate(questions):
            Chats(database).ask(question, None, f"form-{number}")
