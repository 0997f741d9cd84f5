"""The Markdown library with our rules: what is a block, a mark, a link, a note, and the HTML of each. No I/O."""
