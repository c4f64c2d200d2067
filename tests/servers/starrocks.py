# SPDX-License-Identifier: Apache-2.0
"""A stand-in for StarRocks: an FE and a BE on two HTTP ports, and the MySQL protocol for metadata.

It takes what the official Java client sends and answers as the server's documentation and source
have it: 307 from FE to BE, HTTP 200 with the verdict in `Status`, labels with states, transactions,
filtered rows behind an ErrorURL. Faults are told to it one by one (see Fault). Rows are in memory.
"""

import collections
import dataclasses
import itertools
import ssl
import threading
import time

from .starrocks_http import start_http
from .starrocks_load import Load
from .starrocks_mysql import MySql
from .starrocks_table import Column, Refused, Table

LOAD_PARAMETERS = ("columns", "format", "partial_update", "partial_update_mode", "strict_mode",
                   "timezone", "compression", "column_separator", "row_delimiter")
OPEN = ("PREPARE", "PREPARED")
FINISHED = ("COMMITTED", "VISIBLE")


@dataclasses.dataclass
class Fault:
    """What happens instead of an answer, `times` times.

    step: begin, load, prepare, commit, rollback, put (plain load), state, error_log, fe (any
    request to FE), sql. action: drop_before, drop_after (the answer is lost), late (lost, and
    applied `delay` s later), hang (nothing for `delay` s), slow (answered after `delay` s), http
    (`status`, nothing done), http_after (done, `status`), fail (Status `text`, nothing done),
    fail_after (done, Status `text`), half (half of the answer), unreachable (a redirect to a
    closed port), exists (begin, put: the label is there already, in state `text`), filtered (`rows` rows are filtered)."""
    step: str
    action: str
    times: int = 1
    delay: float = 0.5
    status: int = 500
    text: str = "FAILED"
    message: str = "a fault"
    rows: int = 0
    skip: int = 0


@dataclasses.dataclass
class Txn:
    label: str
    id: int
    table: str
    timeout: float
    state: str = "PREPARE"
    reason: str = ""
    headers: dict = dataclasses.field(default_factory=dict)
    loads: list = dataclasses.field(default_factory=list)
    sent: bool = False
    prepared_timeout: float = 86400
    touched: float = dataclasses.field(default_factory=time.monotonic)


class StarRocks:
    def __init__(self, users=None, version="3.3.5-stand-in", transactions=True,
                 tls=None):
        self.users = users or {"root": "secret"}
        self.version, self.transactions = version, transactions
        self.tls = None  # given certificate and key: FE, BE and the MySQL protocol speak TLS
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        self.lock = threading.RLock()
        self.tables, self.databases = {}, set()
        self.labels = collections.defaultdict(collections.OrderedDict)
        self.errors, self.ids = {}, itertools.count(1)
        self.faults, self.hit, self.requests, self.statements = [], [], [], []
        self.encrypted = set()  # were statements sent by TLS?
        self.be_host = "127.0.0.1"  # that FE and error URLs name
        self.config = {"label_keep_max_num": "1000", "label_keep_max_second": "259200"}
        self.alter_delay, self.jobs = 0.0, []
        self.duplicate_label_as_fail = False
        self.filters = None  # row -> true: the server filters it, for reasons of its own

    # ---- life
    def __enter__(self):
        self.be = start_http(self, "be")
        self.fe = start_http(self, "fe")
        self.mysql = MySql(self)
        return self

    def __exit__(self, *_):
        self.mysql.stop()
        for server in (self.fe, self.be):
            server.stop()

    @property
    def fe_url(self):
        return f"{self.scheme}://127.0.0.1:{self.fe.port}"

    @property
    def scheme(self):
        return "https" if self.tls else "http"

    # ---- for tests
    def create(self, sql, database="db"):
        self.databases.add(database)
        table = Table.parse(sql, database)
        self.databases.add(table.database)
        self.tables[f"{table.database}.{table.name}"] = table
        return table

    def rows(self, table):
        with self.lock:
            return [dict(r) for r in self.tables[table].rows()]

    def fault(self, step, action, **more):
        made = Fault(step, action, **more)
        with self.lock:
            self.faults.append(made)
        return made

    def forget(self, label, database="db"):
        with self.lock:
            self.labels[database].pop(label, None)

    def expire(self, label, database="db"):
        """The prepared timeout of a transaction passes."""
        with self.lock:
            self._abort(self.labels[database][label], "timeout by txn manager")

    def states(self, database="db"):
        with self.lock:
            return {label: txn.state for label, txn in self.labels[database].items()}

    def seen(self, server=None, step=None):
        """Requests so far: dicts with server, method, path, headers, step, label, status."""
        with self.lock:
            return [r for r in self.requests
                    if server in (None, r["server"]) and step in (None, r["step"])]

    def take_fault(self, *steps):
        with self.lock:
            for f in self.faults:
                if f.step in steps and f.times > 0:
                    if f.skip:
                        f.skip -= 1
                        return None
                    f.times -= 1
                    self.hit.append((f.step, f.action))
                    return f
        return None

    # ---- labels
    def _begin(self, database, table, label, timeout, headers):
        if f"{database}.{table}" not in self.tables and not self.is_multi(headers):
            raise Refused(f"unknown table \"{database}.{table}\"")
        known = self.labels[database].get(label)
        if known and known.state != "ABORTED":
            return known
        txn = Txn(label, next(self.ids), f"{database}.{table}", timeout, headers=headers)
        self.labels[database].pop(label, None)
        self.labels[database][label] = txn
        self._trim(database)
        return None

    def _trim(self, database):
        most = int(self.config["label_keep_max_num"])
        done = [k for k, t in self.labels[database].items() if t.state not in OPEN]
        for label in done[:max(0, len(done) - most)]:
            del self.labels[database][label]

    def _age(self, txn):
        idle = time.monotonic() - txn.touched
        if txn.state == "PREPARE" and idle > txn.timeout or \
                txn.state == "PREPARED" and idle > txn.prepared_timeout:
            self._abort(txn, "timeout by txn manager")

    @staticmethod
    def _abort(txn, reason):
        txn.state, txn.reason, txn.loads = "ABORTED", reason, []

    def _land(self, txn):
        for load in txn.loads:
            load.table.apply(load.operations)
        txn.state, txn.loads = "VISIBLE", []

    def txn(self, database, label):
        txn = self.labels[database].get(label)
        if txn:
            self._age(txn)
        return txn

    @staticmethod
    def job_status(txn):
        return "FINISHED" if txn.state in FINISHED else "RUNNING"

    def _counts(self, loads):
        filtered = [f for load in loads for f in load.filtered]
        total = sum(load.total for load in loads)
        answer = {"NumberTotalRows": total, "NumberLoadedRows": total - len(filtered),
                  "NumberFilteredRows": len(filtered), "NumberUnselectedRows": 0,
                  "LoadBytes": 0, "LoadTimeMs": 1}
        if filtered:
            key = f"error_log_{next(self.ids)}"
            self.errors[key] = "".join(f"Error: {why}. Row: {row}\n" for why, row in filtered)
            answer["ErrorURL"] = f"{self.scheme}://{self.be_host}:{self.be.port}/api/_load_error_log?file={key}"
        return answer

    @staticmethod
    def _too_many(loads, headers):
        filtered = sum(len(load.filtered) for load in loads)
        total = sum(load.total for load in loads)
        return total and filtered / total > float(headers.get("max_filter_ratio", "0"))

    # ---- requests that BE (or FE) carries out; each gives the JSON answer
    def transaction(self, step, headers, body):
        if not self.transactions:
            return None
        database, table = headers.get("db"), headers.get("table")
        label = headers.get("label")
        multi = self.is_multi(headers)
        if multi and step == "prepare":
            return {"Status": "FAILED", "Message": "prepare of multi-table transactions is unsupported"}
        if not (database and label):
            return {"Status": "INVALID_ARGUMENT", "Message": "empty label or db"}
        with self.lock:
            txn = self.txn(database, label)
            try:
                answer = getattr(self, f"_txn_{step}")(txn, database, table, label, headers, body)
            except Refused as e:
                answer = {"Status": "FAILED", "Message": str(e)}
            return {"Label": label, "Message": "", **({"TxnId": txn.id} if txn else {}), **answer}

    def is_multi(self, headers):
        """Is it about a transaction over several tables? Servers before 4.0 do not know the header."""
        return headers.get("transaction_type") == "multi" and int(self.version.split(".")[0]) >= 4

    def _txn_begin(self, txn, database, table, label, headers, body):
        known = self._begin(database, table, label, float(headers.get("timeout", 600)), dict(headers))
        if known:
            return {"Status": "LABEL_ALREADY_EXISTS", "ExistingJobStatus": self.job_status(known),
                    "Message": f"Label [{label}] has already been used."}
        return {"Status": "OK"}

    @staticmethod
    def _parameters(headers):
        return {k.lower(): v for k, v in headers.items() if k.lower() in LOAD_PARAMETERS}

    @staticmethod
    def _missing(label):
        return {"Status": "TXN_NOT_EXISTS", "Message": f"transaction with label {label} not exists"}

    def _txn_load(self, txn, database, table, label, headers, body):
        if not txn:
            return self._missing(label)
        if txn.state != "PREPARE":
            return {"Status": "FAILED", "Message": f"transaction is {txn.state} already"}
        txn.touched = time.monotonic()
        name = f"{database}.{table}"
        of_table = [x for x in txn.loads if f"{x.table.database}.{x.table.name}" == name]
        if not self.is_multi(txn.headers) and name != txn.table:
            return {"Status": "FAILED", "Message": f"the transaction is of table {txn.table}"}
        if of_table and self._parameters(headers) != self._parameters(of_table[-1].headers):
            self._abort(txn, "other parameters")
            return {"Status": "FAILED", "Message": "the parameters of a transaction's loads differ"}
        try:
            if name not in self.tables:
                raise Refused(f"unknown table \"{name}\"")
            filters = self.filters if not table.startswith("millrace_") else None
            load = Load(self.tables[name], headers, body, filters)
        except Refused as e:
            self._abort(txn, str(e))
            return {"Status": "FAILED", "Message": str(e)}
        txn.loads.append(load)
        if not self.is_multi(txn.headers):
            txn.headers = dict(headers)
        return {"Status": "OK", "Seq": len(txn.loads) - 1}

    def _txn_prepare(self, txn, database, table, label, headers, body):
        if not txn:
            return self._missing(label)
        if txn.state == "PREPARED":
            return {"Status": "OK", "Message": "already prepared"}
        if txn.state != "PREPARE":
            return {"Status": "FAILED", "Message": f"transaction is {txn.state} already"}
        if not txn.loads:
            return {"Status": "INTERNAL_ERROR", "Message": "hasn't send any data yet"}
        counts = self._counts(txn.loads)
        if self._too_many(txn.loads, txn.headers):
            self._abort(txn, "too many filtered rows")
            return {"Status": "FAILED", "Message": "too many filtered rows", **counts}
        txn.state, txn.touched = "PREPARED", time.monotonic()
        txn.prepared_timeout = float(headers.get("prepared_timeout", 86400))
        return {"Status": "OK", **counts}

    def _txn_commit(self, txn, database, table, label, headers, body):
        if not txn:
            return self._missing(label)
        if txn.state == "PREPARE":
            answer = self._txn_prepare(txn, database, table, label, headers, body)
            if answer["Status"] != "OK":
                return answer
        if txn.state in FINISHED:
            return {"Status": "OK", "Message": f"Transaction {txn.id} has already committed"}
        if txn.state == "ABORTED":
            return {"Status": "FAILED", "Message": f"transaction aborted: {txn.reason}"}
        self._land(txn)
        self._trim(database)
        return {"Status": "OK"}

    def _txn_rollback(self, txn, database, table, label, headers, body):
        if not txn:
            return self._missing(label)
        if txn.state in FINISHED:
            return {"Status": "FAILED", "Message": "can not abort a committed transaction"}
        self._abort(txn, "user rollback")
        return {"Status": "OK"}

    def put(self, database, table, headers, body):
        """A plain labelled load."""
        label = headers.get("label") or f"server-made-{next(self.ids)}"
        with self.lock:
            try:
                known = self._begin(database, table, label, 600, dict(headers))
                if known:
                    return self._label_exists(known)
                txn = self.labels[database][label]
                load = Load(self.tables[txn.table], headers, body, self.filters)
            except Refused as e:
                if self.labels[database].get(label):
                    self._abort(self.labels[database][label], str(e))
                return {"Status": "Fail", "Message": str(e), "Label": label}
            counts = self._counts([load])
            if self._too_many([load], headers):
                self._abort(txn, "too many filtered rows")
                return {"TxnId": txn.id, "Label": label, "Status": "Fail",
                        "Message": "too many filtered rows", **counts}
            txn.loads = [load]
            self._land(txn)
            self._trim(database)
            return {"TxnId": txn.id, "Label": label, "Status": "Success", "Message": "OK", **counts}

    def plant(self, step, headers, database, table, body, state, delay):
        """The label of a request is there already. Of begin it is a stranger's; of put it is an
        earlier copy of the same request: what is open lands `delay` s later."""
        label = headers.get("label")
        with self.lock:
            if state == "VISIBLE" and step == "put":
                self.put(database, table, headers, body)
            elif state != "UNKNOWN":
                self._begin(database, table, label, 600, dict(headers))
                txn = self.labels[database][label]
                txn.state = state
            if step == "put" and state in OPEN:
                txn.loads = [Load(self.tables[txn.table], headers, body, self.filters)]
                threading.Timer(delay, self._finish, [txn]).start()
        known = {"VISIBLE": "FINISHED", "COMMITTED": "FINISHED"}.get(state, "RUNNING")
        return {"Label": label, "ExistingJobStatus": known,
                "Status": "LABEL_ALREADY_EXISTS" if step == "begin" else "Label Already Exists",
                "Message": f"Label [{label}] has already been used."}

    def _finish(self, txn):
        with self.lock:
            self._land(txn)

    def _label_exists(self, known):
        message = f"Label [{known.label}] has already been used."
        if self.duplicate_label_as_fail:
            return {"Label": known.label, "Status": "Fail", "Message": message}
        return {"Label": known.label, "Status": "Label Already Exists", "Message": message,
                "ExistingJobStatus": self.job_status(known)}

    def label_state(self, database, label):
        with self.lock:
            txn = self.txn(database, label)
            return {"state": txn.state if txn else "UNKNOWN", "reason": txn.reason if txn else "",
                    "status": "OK", "label": label}

    # ---- DDL
    def alter(self, table, changes):
        """The job of an ALTER TABLE: done once nothing older is open and time passed."""
        job = {"table": table, "changes": changes, "due": time.monotonic() + self.alter_delay,
               "state": "PENDING", "time": next(self.ids)}
        with self.lock:
            if any(j["table"] == table and j["state"] not in ("FINISHED", "CANCELLED")
                   for j in self.jobs):
                raise Refused(f"Table[{table}]'s is not in NORMAL state")
            self.jobs.append(job)
        self.job(table)

    def job(self, table):
        with self.lock:
            jobs = [j for j in self.jobs if j["table"] == table]
            if not jobs:
                return None
            last = jobs[-1]
            open_txn = any(t.table == table and t.state in OPEN
                           for labels in self.labels.values() for t in labels.values())
            if last["state"] in ("PENDING", "WAITING_TXN"):
                if open_txn:
                    last["state"] = "WAITING_TXN"
                elif time.monotonic() >= last["due"]:
                    for word, column in last["changes"]:
                        self.tables[table].change(word, column)
                    last["state"] = "FINISHED"
            return last


__all__ = ["Column", "Fault", "StarRocks"]
