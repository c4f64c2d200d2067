# SPDX-License-Identifier: Apache-2.0
"""Apache Cassandra, one node from Maven's jars, with a client that is not ours."""

import pathlib
import re
import signal
import subprocess

import yaml

from . import maven
from .process import Process, ServerError, free_port, require_tool, wait_until

VERSION = "5.0.4"
SUPERUSER = ("cassandra", "cassandra")

OPENED = {
    "java.base": ("jdk.internal.misc jdk.internal.ref jdk.internal.loader jdk.internal.reflect"
                  " jdk.internal.math jdk.internal.module jdk.internal.util.jar java.lang"
                  " java.lang.module java.lang.reflect java.io java.math java.net java.nio java.time"
                  " java.util java.util.concurrent java.util.concurrent.atomic"
                  " java.util.concurrent.locks sun.nio.ch"),
    "java.management": "javax.management",
    "java.management.rmi": "com.sun.jmx.remote.internal.rmi",
    "java.rmi": "sun.rmi.registry sun.rmi.server sun.rmi.transport sun.rmi.transport.tcp",
    "java.sql": "java.sql",
    "jdk.management": "com.sun.management.internal",
    "jdk.unsupported": "sun.misc",
}

SYSTEM = {
    "cassandra.jmx.local.port": None,  # a free one for each start
    "cassandra.ring_delay_ms": 100,
    "cassandra.skip_wait_for_gossip_to_settle": 0,
    "cassandra.superuser_setup_delay_ms": 0,
    "java.security.manager": "allow",  # 4.1 sets one
    "logback.configurationFile": None,
}

LOGBACK = """<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{{HH:mm:ss,SSS}} %logger{{20}} - %msg%n</pattern></encoder>
  </appender>
  <root level="{level}"><appender-ref ref="OUT"/></root>
</configuration>
"""


def java_flags():
    """What a Cassandra needs to start on Java 17."""
    flags = []
    for module, packages in OPENED.items():
        for package in packages.split():
            flags += [f"--add-exports={module}/{package}=ALL-UNNAMED",
                      f"--add-opens={module}/{package}=ALL-UNNAMED"]
    return flags


def jars(version=VERSION):
    """Folder of a version's jars, which also has its own commit log reader."""
    return maven.libraries(f"cassandra-{version}", f"org.apache.cassandra:cassandra-all:{version}")


class Client:
    """A node that runs at 127.0.0.1:`port`; ca: the certificate to trust where it speaks TLS."""

    def __init__(self, port, *, password=False, ca=None):
        self.port, self.password, self.ca = port, password, ca
        self._cluster = self._session = None

    def connect(self, user=None, password=None):
        """A cluster object of the Python driver; the caller shuts it down."""
        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import Cluster, EXEC_PROFILE_DEFAULT, ExecutionProfile
        from cassandra.policies import RoundRobinPolicy
        from cassandra.query import tuple_factory
        options = {}
        if self.password:
            options["auth_provider"] = PlainTextAuthProvider(user or SUPERUSER[0],
                                                             password or SUPERUSER[1])
        if self.ca:
            import ssl
            options["ssl_context"] = ssl.create_default_context(cafile=str(self.ca))
            options["ssl_options"] = {"server_hostname": "localhost"}
        profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=60,
                                   row_factory=tuple_factory)
        return Cluster(["127.0.0.1"], port=self.port, protocol_version=5, connect_timeout=10,
                       control_connection_timeout=30, execution_profiles={EXEC_PROFILE_DEFAULT: profile},
                       **options)

    def session(self):
        """The one session of the Python driver with this node."""
        if self._session is None:
            self._cluster = self.connect()
            self._session = self._cluster.connect()
        return self._session

    def disconnect(self):
        cluster, self._cluster, self._session = self._cluster, None, None
        if cluster is not None:
            cluster.shutdown()

    def cql(self, statement, *args, keyspace=None):
        """Runs one statement, with values for its %s, and returns its rows as a list of tuples."""
        session = self.session()
        if keyspace:
            session.set_keyspace(keyspace)
        return list(session.execute(statement, args or None))

    def cql_many(self, statement, rows, *, concurrency=64):
        """Prepares a statement with ? and runs it once for each tuple of values."""
        from cassandra.concurrent import execute_concurrent_with_args
        session = self.session()
        prepared = session.prepare(statement)
        for ok, error in execute_concurrent_with_args(session, prepared, rows, concurrency=concurrency):
            if not ok:
                raise ServerError(f"{statement}: {error}")

    def create_keyspace(self, name):
        self.cql(f"CREATE KEYSPACE {name} WITH replication = "
                 "{'class': 'SimpleStrategy', 'replication_factor': 1}")
        return name

    def drop_keyspace(self, name):
        self.cql(f"DROP KEYSPACE IF EXISTS {name}")

    def table_id(self, keyspace, table):
        [(found,)] = self.cql("SELECT id FROM system_schema.tables WHERE keyspace_name = %s"
                              " AND table_name = %s", keyspace, table)
        return found


class Cassandra(Client):
    """A node on 127.0.0.1:`port`. Use as a context manager or call stop().

    cdc: cdc_enabled, its segments in `cdc_raw`.    compression: None or LZ4Compressor, SnappyCompressor,
    DeflateCompressor, ZstdCompressor for the commit log.    direct: commit log by direct I/O (5.0 and later).
    compatible: False lets a 5.0 write what only a 5.0 reads (commit log version 8).    password:
    PasswordAuthenticator, with the user cassandra.    tls: clients must speak TLS; `ca` is the certificate
    to trust.    settings: further entries of cassandra.yaml."""

    def __init__(self, folder, *, version=VERSION, cdc=True, compression=None, direct=False,
                 compatible=True, password=False, tls=False, heap="768m", settings=None,
                 log_level="WARN"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        super().__init__(free_port(), password=password)
        self.version, self.heap, self.process = version, heap, None
        self.cdc_raw = self.folder / "cdc_raw"
        self.commitlog = self.folder / "commitlog"
        conf = self._conf(cdc, compression, direct, compatible)
        if tls:
            conf["client_encryption_options"] = self._certificate()
        conf.update(settings or {})
        (self.folder / "logback.xml").write_text(LOGBACK.format(level=log_level))
        self._start_first(conf)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _conf(self, cdc, compression, direct, compatible):
        storage = free_port()
        conf = {
            "cluster_name": "tests",
            "num_tokens": 1,
            "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            "data_file_directories": [str(self.folder / "data")],
            "commitlog_directory": str(self.commitlog),
            "saved_caches_directory": str(self.folder / "saved_caches"),
            "hints_directory": str(self.folder / "hints"),
            "cdc_raw_directory": str(self.cdc_raw),
            "cdc_enabled": cdc,
            "commitlog_sync": "periodic",
            "commitlog_sync_period": "500ms" if compression or direct else "10000ms",
            "commitlog_segment_size": "4MiB",
            "commitlog_total_space": "64MiB",
            "endpoint_snitch": "SimpleSnitch",
            "seed_provider": [{"class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                               "parameters": [{"seeds": f"127.0.0.1:{storage}"}]}],
            "listen_address": "127.0.0.1",
            "rpc_address": "127.0.0.1",
            "storage_port": storage,
            "native_transport_port": self.port,
            "auto_snapshot": False,
            "disk_optimization_strategy": "ssd",
            "user_defined_functions_enabled": True,
            "materialized_views_enabled": True,
            "concurrent_reads": 8,
            "concurrent_writes": 8,
            "memtable_heap_space": "64MiB",
            "memtable_offheap_space": "64MiB",
            "file_cache_size": "32MiB",
            "key_cache_size": "4MiB",
            # slow machines: a write that only waits for the processor is no failure
            "read_request_timeout": "60000ms",
            "range_request_timeout": "60000ms",
            "write_request_timeout": "60000ms",
            "truncate_request_timeout": "60000ms",
            "request_timeout": "60000ms",
        }
        if self.password:
            conf["authenticator"] = "PasswordAuthenticator"
        if compression:
            conf["commitlog_compression"] = [{"class_name": compression}]
        if direct:
            conf["commitlog_disk_access_mode"] = "direct"
        if not compatible:
            conf["storage_compatibility_mode"] = "NONE"
        return conf

    def _start_first(self, conf, attempts=5):
        """A port that was free may be another's by the time the node gets to it."""
        for attempt in range(attempts):
            (self.folder / "cassandra.yaml").write_text(yaml.safe_dump(conf))
            try:
                return self.start()
            except ServerError as e:
                if attempt == attempts - 1 or not re.search("in use|Failed to bind", str(e)):
                    raise
            self.port, storage = free_port(), free_port()
            conf["native_transport_port"], conf["storage_port"] = self.port, storage
            conf["seed_provider"][0]["parameters"][0]["seeds"] = f"127.0.0.1:{storage}"

    def _certificate(self):
        """A certificate for 127.0.0.1 and localhost that signs itself, and the store that Java reads it from."""
        self.ca, key, store = (self.folder / n for n in ("server.crt", "server.key", "server.p12"))
        tool = require_tool("openssl")
        for arguments in (
                ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                 "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                 "-keyout", str(key), "-out", str(self.ca)],
                ["pkcs12", "-export", "-in", str(self.ca), "-inkey", str(key), "-name", "server",
                 "-out", str(store), "-passout", "pass:cassandra"]):
            subprocess.run([tool, *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        return {"enabled": True, "optional": False, "keystore": str(store), "store_type": "PKCS12",
                "keystore_password": "cassandra"}

    def _command(self):
        system = {**SYSTEM, "cassandra.jmx.local.port": free_port(),
                  "cassandra.config": f"file://{self.folder}/cassandra.yaml",
                  "cassandra.storagedir": self.folder,
                  "logback.configurationFile": f"file://{self.folder}/logback.xml"}
        folder = jars(self.version)
        [agent] = folder.glob("jamm-*.jar")  # without it 4.1 measures objects by means that Java 17 lacks
        return [require_tool("java"), f"-javaagent:{agent}", f"-Xms{self.heap}", f"-Xmx{self.heap}",
                "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
                "-XX:MaxDirectMemorySize=256m", *java_flags(),
                *(f"-D{name}={value}" for name, value in system.items()),
                "-cp", f"{folder}/*", "org.apache.cassandra.service.CassandraDaemon"]

    def start(self, timeout=300):
        """Starts the node (again, with its data) and waits until it answers."""
        self.process = Process(self._command(), self.folder / "cassandra.log", cwd=self.folder)
        wait_until(self._answers, timeout, "cassandra", 0.2)

    def _answers(self):
        self.process.require_running("cassandra")
        try:
            self.session()
            return True
        except Exception as e:  # the client raises its own types for "not yet"
            self.last_error = e
            self.disconnect()
            return False

    def stop(self, sig=signal.SIGTERM):
        """Stops the node: SIGTERM in order (closes its segments), SIGKILL is a crash."""
        self.disconnect()
        if self.process:
            self.process.stop(sig, timeout=60)
