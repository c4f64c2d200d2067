/* SPDX-License-Identifier: Apache-2.0 */
/* A unit is one transaction of Stream Load under the unit's label: begin, loads, prepare; then the
 * runtime records it, and only then commit. Nothing is sent before there are rows to send. */
#include "starrocks.h"

#define STUBBORN_MAX 3 /* refusals for rows after every row was tried: something else is wrong */

static void clear_rows(struct sr_sink *s)
{
  sql_buf_clear(&s->rows);
  s->n_rows = 0;
}

static bool is_keyed(const struct sr_sink *s)
{
  return s->model == MODEL_PRIMARY || s->model == MODEL_UNIQUE;
}

static int start(struct sr_sink *s, bool may_alter, struct mr_error *err)
{
  int status = sr_http_open(s, err);
  if (status < 0 || s->learned)
    return status;
  if (s->in.release) /* else only data can tell the columns: opened anew when they are known */
    status = sr_target_learn(s, may_alter, err);
  else
    status = sr_target_columns(s, err);
  if (status == MR_BADCONF && !s->in.release && s->conf->create && !strcmp(err->code, "42S02"))
    status = MR_OK;
  if (status >= 0)
    status = sr_label_state(s, "millrace_start", err); /* does FE answer, and let us in? */
  if (status < 0)
    s->learned = false;
  else
    sr_labels_warn(s);
  return status < 0 ? status : MR_OK;
}

/* The predecessor's transaction is finished only after this: nothing is altered yet. */
int sr_start(void *self, struct mr_error *err)
{
  return start(self, false, err);
}

int sr_ready(struct sr_sink *s, struct mr_error *err)
{
  int status = s->learned ? sr_target_compare(s, err) : MR_OK;
  return status < 0 ? status : start(s, true, err);
}

int sr_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sr_sink *s = self;
  int status = sr_ready(s, err);
  if (status < 0)
    return status;
  snprintf(s->label, sizeof s->label, "%s", u->label);
  s->begun = s->loaded = s->asked = false;
  s->trials = 0;
  clear_rows(s);
  return MR_OK;
}

/* ---------------------------------------------------------------- loads */

enum sr_verdict sr_load_rows(struct sr_sink *s, const char *label, struct sql_buf *rows,
                             struct sr_reply *ret, struct mr_error *err)
{
  *ret = (struct sr_reply){.verdict = SR_NOT_SENT};
  if (s->conf->format == FORMAT_JSON)
    sql_buf_byte(rows, ']');
  if (rows->failed) {
    src_no_memory(err);
    return SR_NOT_SENT;
  }
  if (s->conf->compression == PACK_NONE)
    return sr_load(s, label, rows->p, rows->len, ret, err);
  if (sr_pack(s, rows->p, rows->len, err) < 0)
    return SR_NOT_SENT;
  return sr_load(s, label, s->packed.p, s->packed.len, ret, err);
}

static int begin_transaction(struct sr_sink *s, struct mr_error *err)
{
  struct sr_reply reply;
  enum sr_verdict v = sr_step(s, STEP_BEGIN, s->label, &reply, err);
  int status = MR_OK;
  s->begun = v == SR_DONE || v == SR_LOST || v == SR_BUSY;
  if (v == SR_LABEL_EXISTS && s->conf->load == LOAD_MULTI) { /* our own: a begin that came late */
    status = sr_label_rollback(s, s->label, err);
    if (status >= 0)
      status = src_fail(err, MR_RETRY, "", "label %s was open already", s->label);
    err->unit_lost = true;
  } else if (v == SR_LABEL_EXISTS) { /* another pipeline's, or an older life's: never touched */
    src_log(s->host, MR_WARN, "label %s is in use already: taking the next", s->label);
    err->unit_lost = true;
    err->retry_ms = 1;
    status = MR_RETRY;
  } else if (v != SR_DONE) {
    status = sr_status(s, &reply, "begin", err);
  }
  sr_reply_done(&reply);
  return status;
}

int sr_rows_refused(struct sr_sink *s, int status, struct mr_error *err)
{
  if (status != MR_REJECT)
    return status;
  if (s->careful && ++s->unclassified > STUBBORN_MAX)
    return MR_FATAL;
  s->careful = true;
  return status;
}

int sr_send_rows(struct sr_sink *s, bool always, struct mr_error *err)
{
  struct sr_reply reply;
  int status = s->begun || (!s->n_rows && !always) ? MR_OK : begin_transaction(s, err);
  if (status < 0 || !s->n_rows)
    return status;
  enum sr_verdict v = sr_load_rows(s, s->label, &s->rows, &reply, err);
  clear_rows(s);
  if (v == SR_DONE)
    s->loaded = true;
  else
    status = sr_rows_refused(s, sr_status(s, &reply, "load", err), err);
  sr_reply_done(&reply);
  return status;
}

int sr_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct sr_sink *s = self;
  int status = MR_OK;
  size_t len = s->rows.len;
  int64_t n = s->n_rows;
  if (b->rows.length == 0)
    return MR_OK;
  if (s->careful) {
    if ((status = sr_send_rows(s, false, err)) >= 0)
      status = sr_isolate(s, b, err);
    err->unit_lost |= status < 0;
    return status;
  }
  if (!sr_dead_clear(s, b->rows.length))
    return src_no_memory(err);
  status = sr_encode(s, b, NULL, err);
  if (status < 0) {
    s->rows.len = len;
    s->n_rows = n;
    return status;
  }
  return (int64_t)s->rows.len >= s->conf->body_bytes ? sr_send_rows(s, false, err) : MR_OK;
}

/* ---------------------------------------------------------------- prepare and commit */

/* The server answered prepare with something else than OK. */
static int not_prepared(struct sr_sink *s, const struct sr_reply *reply, struct mr_error *err)
{
  switch (reply->verdict) {
  case SR_FAILED:
  case SR_MISSING: return sr_rows_refused(s, sr_status(s, reply, "prepare", err), err);
  case SR_DENIED:
    sr_status(s, reply, "prepare", err);
    err->unit_lost = false;
    return MR_RETRY;
  case SR_NO_TXN: err->unit_lost = s->asked; return MR_RETRY; /* a BE that has forgotten it */
  default: return err->native == MR_BADCONF ? MR_BADCONF : MR_RETRY;
  }
}

static int ask_prepare(struct sr_sink *s, struct mr_error *err)
{
  struct sr_reply reply;
  int status = MR_OK;
  enum sr_verdict v = sr_step(s, STEP_PREPARE, s->label, &reply, err);
  if (v != SR_DONE)
    status = not_prepared(s, &reply, err);
  else if (reply.filtered)
    status = sr_rows_refused(s, sr_refused(s, &reply, "prepare", err), err);
  s->asked = true;
  sr_reply_done(&reply);
  return status;
}

int sr_prepare(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sr_sink *s = self;
  int status = sr_send_rows(s, false, err);
  if (status < 0)
    return status;
  if (!s->loaded)
    return MR_IDLE; /* every row was rejected: there is nothing to commit */
  int state = s->asked ? sr_label_state(s, s->label, err) : MR_RUNNING;
  if (state == MR_PREPARED)
    return MR_OK; /* the answer was lost, not the request */
  if (state < 0)
    return state;
  if (state == MR_RUNNING)
    return ask_prepare(s, err);
  err->unit_lost = true;
  return src_fail(err, MR_RETRY, "", "the transaction of label %s is gone", s->label);
}

int sr_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sr_sink *s = self;
  struct sr_reply reply;
  int status = sr_http_open(s, err);
  if (status < 0)
    return status;
  enum sr_verdict v = sr_step(s, STEP_COMMIT, u->label, &reply, err);
  sr_reply_done(&reply);
  if (v != SR_DONE)
    return MR_UNSURE; /* the label's state decides, whatever the answer was */
  s->begun = s->loaded = false;
  s->careful = false;
  s->unclassified = 0;
  return MR_OK;
}

int sr_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sr_sink *s = self;
  bool own = u->label && !strcmp(u->label, s->label);
  clear_rows(s);
  if (own && !s->begun)
    return MR_OK;
  int status = sr_http_open(s, err);
  if (status >= 0)
    status = sr_label_rollback(s, u->label ? u->label : s->label, err);
  if (status >= 0 && own)
    s->begun = s->loaded = false;
  return status;
}

int sr_resolve(void *self, const char *label, struct mr_error *err)
{
  struct sr_sink *s = self;
  int status = sr_http_open(s, err);
  int outcome = status < 0 ? status : sr_label_state(s, label, err);
  if (outcome != MR_UNKNOWN)
    return outcome;
  if (s->model == MODEL_UNKNOWN && (status = sr_target_columns(s, err)) < 0)
    return status;
  if (!is_keyed(s))
    return MR_UNKNOWN;
  src_log(s->host, MR_WARN,
          "the server has forgotten label %s: its rows are written again, which the key allows",
          label);
  return MR_ABORTED;
}
