"""Certificates for a fake server, made by the `openssl` command."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificate_of_the_future(folder: Path) -> tuple[Path, Path]:
    """A certificate that is valid from 2090, and its key: to a clock that has fallen back, all look like this."""
    (folder / "index").touch()
    (folder / "configuration").write_text(
        "[ca]\ndefault_ca = here\n[here]\ndatabase = index\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\n"
        "rand_serial = yes\nx509_extensions = extensions\n[any]\ncommonName = supplied\n[extensions]\n"
        "subjectAltName = IP:127.0.0.1\nkeyUsage = critical,digitalSignature,keyCertSign\n"
        "basicConstraints = critical,CA:TRUE\n"
    )
    new = "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout key -out request -subj /CN=future"
    sign = "ca -batch -selfsign -config configuration -keyfile key -in request -out certificate -notext"
    for command in (new, f"{sign} -startdate 20900101000000Z -enddate 20910101000000Z"):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True, timeout=30)
    return folder / "certificate", folder / "key"
