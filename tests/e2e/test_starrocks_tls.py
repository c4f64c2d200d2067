# SPDX-License-Identifier: Apache-2.0
"""The starrocks sink by TLS: https to FE and BE, and the MySQL protocol, verified by one file of authorities."""

import pytest

from servers.authority import make_authority, make_certificate
from servers.starrocks import StarRocks
from test_starrocks import DUPLICATE, ids, pipeline, write_rows


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder, "good")
    make_authority(folder, "other")
    return folder, make_certificate(folder, "good", "IP:127.0.0.1")


@pytest.fixture
def server(certificates):
    with StarRocks(tls=certificates[1]) as made:
        made.create(DUPLICATE)
        yield made


@pytest.mark.parametrize("load", ["transaction", "labelled"])
def test_rows_and_metadata_are_encrypted(millrace, server, certificates, load):
    write_rows(millrace, 100)
    text = pipeline(server, f"      tls_ca: {certificates[0]}/good.pem\n      load: {load}\n")
    assert "db.t: ok" in millrace.check(text, "--connect").expect(0).text
    millrace.run(text).expect(0)
    assert ids(server) == list(range(100)) and server.encrypted == {True}


@pytest.mark.parametrize("host, authority", [("127.0.0.1", "other"), ("localhost", "good")])
def test_a_certificate_that_is_not_trusted_gets_no_password(millrace, server, certificates, host, authority):
    """Another authority, and a certificate for another name."""
    write_rows(millrace, 1)
    ca = f"      tls_ca: {certificates[0]}/{authority}.pem\n"
    text = pipeline(server, ca).replace("//127.0.0.1:", f"//{host}:")
    refused = millrace.check(text, "--connect").expect(3)
    assert "certificate" in refused.text.lower() or "ssl" in refused.text.lower(), refused.text
    assert "secret" not in refused.text and server.seen() == []


def test_https_is_verified_without_an_authority_too(millrace, server):
    """No tls_ca: the MySQL protocol is plain, and FE's certificate is not in the system's list."""
    write_rows(millrace, 1)
    refused = millrace.check(pipeline(server), "--connect").expect(3)
    assert f"127.0.0.1:{server.fe.port}" in refused.text and server.seen() == []
    assert server.encrypted == {False}
