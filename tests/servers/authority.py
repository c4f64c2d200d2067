# SPDX-License-Identifier: Apache-2.0
"""Certificate authorities of one's own, for servers that speak TLS in tests."""

import subprocess

from .process import require_tool


def _openssl(folder, *arguments):
    subprocess.run([require_tool("openssl"), *arguments], cwd=folder, check=True,
                   stdin=subprocess.DEVNULL, capture_output=True)


def make_authority(folder, name):
    """FOLDER/NAME.pem and its key."""
    _openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    return folder / f"{name}.pem"


def make_certificate(folder, authority, names, name="server"):
    """A certificate that the authority signed, for names as "DNS:localhost"; gives it and its key."""
    (folder / "names").write_text(f"subjectAltName={names}")
    _openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout",
             f"{name}.key", "-out", f"{name}.csr")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey",
             f"{authority}.key", "-days", "2", "-CAcreateserial", "-extfile", "names", "-out",
             f"{name}.pem")
    return folder / f"{name}.pem", folder / f"{name}.key"
