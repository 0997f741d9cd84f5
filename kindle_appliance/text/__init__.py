"""What the characters of a text need: its direction and language, and signs that old fonts lack. No I/O."""
