"""The household's books on their shelf, and how far a reader is in one."""
