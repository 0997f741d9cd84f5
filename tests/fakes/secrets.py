"""The key and the PIN that the tests give to the program: of the right form, real nowhere, and not to be taken for
anything else. Whatever the program writes is searched for them; see secret_scanner.py.

A test that has to see a PIN in a page has one of its own: without script, the pad brings the digits back that its
reader has pressed so far, and the page with the last of them holds the whole PIN.
"""

KEY = "AIza" + "SyNobodyKey-4CanarySingsInThisMine9"
"""As long as Google's are, and with their characters; in two parts, so that nobody reports it as a real one."""

PIN = "070413952861"
