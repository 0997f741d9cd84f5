"""The household's books: their files, their text, and how far a reader is in one."""
