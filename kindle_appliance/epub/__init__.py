"""A file in EPUB 2 or 3, as strangers make them, to the text and the chapters of a book. Nothing is written."""
