"""An appliance that puts an AI on every Kindle of the house."""

import sys

__version__ = "0.2.0.dev0"

# First of all, and in words that the oldest Python understands: everything after this needs a newer one.
if sys.version_info < (3, 11):  # noqa: UP036 - this is the check
    sys.exit(
        "kindle-appliance needs Python 3.11 or newer; this is Python {}.{}. Install a newer one, for example with"
        " 'sudo apt install python3.11 python3.11-venv', and start it with that.".format(*sys.version_info[:2])
    )
