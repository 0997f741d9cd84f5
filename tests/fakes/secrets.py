"""The key and the PIN of the tests: of the right form, valid nowhere, and unlike any other text.

Everything that the program writes is searched for them; see secret_scanner.py.

A test that must see a PIN in a page has its own PIN: without script, the pad returns the digits pressed so far, so
the last page has the whole PIN.
"""

KEY = "AIza" + "SyNobodyKey-4CanarySingsInThisMine9"
"""With the length and the characters of Google's keys; in two parts, so that scanners do not report it as real."""

PIN = "070413952861"

SERVER_KEY = "sk-" + "OfNobodysServer-0123456789"
"""The key of a model server at home."""
