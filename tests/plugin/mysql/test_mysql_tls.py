# SPDX-License-Identifier: Apache-2.0
"""TLS to MariaDB: verified by certificate and by name, or not used at all."""

import os
import pathlib
import shutil
import tempfile

import pyarrow as pa
import pytest

from abi import RETRY, Failure, SinkUnderTest, batch
from servers.authority import make_authority, make_certificate
from servers.mariadb import PASSWORD, USER, Mariadb

SCHEMA = pa.schema([("id", pa.int64())])


@pytest.fixture(scope="module")
def tls():
    """A server whose certificate is for localhost alone, its authority, and another authority."""
    with tempfile.TemporaryDirectory(prefix="millrace-my-") as name:
        os.chmod(name, 0o755)
        folder = pathlib.Path(name)
        good, other = make_authority(folder, "good"), make_authority(folder, "other")
        make_certificate(folder, "good", "DNS:localhost")
        if os.geteuid() == 0:
            shutil.chown(folder / "server.key", "mysql")
        settings = f"ssl-cert = {folder}/server.pem\nssl-key = {folder}/server.key\nssl-ca = {good}"
        with Mariadb(folder / "mariadb", durable=False, settings=settings) as server:
            server.sql("CREATE DATABASE d")
            server.sql("CREATE TABLE d.t (id bigint)")
            yield server, str(good), str(other)


def sink(server, host, **options):
    return SinkUnderTest("mysql", SCHEMA, host=host, port=str(server.port), database="d", user=USER,
                         password=PASSWORD, table="t", **options)



def test_the_name_and_the_authority_are_verified(tls):
    server, good, other = tls
    with sink(server, "localhost", tls="verify", tls_ca=good) as s:
        s.found({"0": 0})
        s.put(batch(SCHEMA, [(1,)]))
    for host, ca in (("localhost", other), ("127.0.0.1", good), ("localhost", None)):
        with pytest.raises(Failure) as caught:
            sink(server, host, tls="verify", **({"tls_ca": ca} if ca else {})).__enter__()
        assert caught.value.status == RETRY and caught.value.unreachable
        assert "certificate" in caught.value.msg.lower() or "SSL" in caught.value.msg, caught.value.msg
        assert PASSWORD not in caught.value.msg


@pytest.mark.parametrize("choice, encrypted", [("require", True), ("prefer", True), ("disable", False)])
def test_what_is_encrypted(tls, choice, encrypted):
    server, _, _ = tls
    before = server.sql("SHOW GLOBAL STATUS LIKE 'Ssl_accepts'")[0][1]
    with sink(server, "127.0.0.1", tls=choice) as s:
        s.take(["none"])
    after = server.sql("SHOW GLOBAL STATUS LIKE 'Ssl_accepts'")[0][1]
    assert (int(after) - int(before) > 0) == encrypted
