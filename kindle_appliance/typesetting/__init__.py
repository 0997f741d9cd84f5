"""A growing text as settled blocks and a provisional tail. No I/O."""
