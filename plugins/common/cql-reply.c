/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cql-reply.h"
#include <arpa/inet.h>
#include "common/src-error.h"

enum { ROWS_GLOBAL = 1, ROWS_MORE = 2, ROWS_NO_METADATA = 4, ROWS_CHANGED = 8 };

static struct cql_read body_of(const struct cql_frame *f)
{
  return cql_read_of(f->body, f->len);
}
static int malformed(struct mr_error *err, const char *what)
{
  return src_fail(err, MR_FATAL, "", "malformed answer of Cassandra: %s", what);
}
/* A [string] into buf, cut where it is longer. */
static void short_text(struct cql_read *r, char *buf, size_t size)
{
  size_t n;
  const uint8_t *p = cql_read_short(r, &n);
  snprintf(buf, size, "%.*s", p ? (int)n : 0, p ? (const char *)p : "");
}
static void skip_short(struct cql_read *r)
{
  size_t n;
  cql_read_short(r, &n);
}

/* ---- columns */

void cql_columns_done(struct cql_columns *c)
{
  for (int32_t i = 0; i < c->n; i++) {
    free(c->item[i].name);
    cql_type_done(&c->item[i].type);
  }
  free(c->item);
  *c = (struct cql_columns){0};
}

bool cql_columns_equal(const struct cql_columns *a, const struct cql_columns *b)
{
  bool same = a->n == b->n;
  for (int32_t i = 0; same && i < a->n; i++)
    same = !strcmp(a->item[i].name, b->item[i].name) &&
           cql_type_equal(&a->item[i].type, &b->item[i].type);
  return same;
}

static int read_column(struct cql_read *r, bool global, struct cql_column *ret,
                       struct mr_error *err)
{
  size_t n;
  if (!global) {
    skip_short(r);
    skip_short(r);
  }
  const uint8_t *p = cql_read_short(r, &n);
  ret->name = strndup(p ? (const char *)p : "", n);
  if (!ret->name)
    return src_no_memory(err);
  int rc = cql_type_option(r, &ret->type, err);
  if (rc >= 0)
    return rc;
  char why[sizeof err->msg];
  snprintf(why, sizeof why, "%s", err->msg);
  return src_fail(err, rc, "", "column `%.100s`: %.300s", ret->name, why);
}

static int read_columns(struct cql_read *r, int32_t flags, int32_t n, struct cql_columns *ret,
                        struct mr_error *err)
{
  int rc = MR_OK;
  if (flags & ROWS_GLOBAL) {
    skip_short(r);
    skip_short(r);
  }
  /* a column takes 4 bytes at least: no more room than the answer can fill */
  if (r->failed || n < 0 || n > CQL_COLUMNS_MAX || (size_t)n > cql_read_left(r) / 4)
    return malformed(err, "the number of columns");
  ret->item = calloc(n ? (size_t)n : 1, sizeof *ret->item);
  if (!ret->item)
    return src_no_memory(err);
  for (; rc >= 0 && ret->n < n; ret->n++)
    rc = read_column(r, flags & ROWS_GLOBAL, &ret->item[ret->n], err);
  return rc;
}

/* Metadata of rows; what may stand between its flags and columns is skipped, or given. */
static int read_metadata(struct cql_read *r, struct cql_rows *ret, struct mr_error *err)
{
  int32_t flags = cql_read_i32(r), n = cql_read_i32(r);
  int64_t len;
  if (flags & ROWS_MORE) {
    ret->paging = cql_read_value(r, &len);
    ret->paging_len = ret->paging ? (size_t)len : 0;
  }
  if (flags & ROWS_CHANGED)
    skip_short(r);
  if (flags & ROWS_NO_METADATA)
    return n && !r->failed ? malformed(err, "rows without the columns that were asked for") : MR_OK;
  return read_columns(r, flags, n, &ret->columns, err);
}

/* ---- results */

int cql_reply_kind(const struct cql_frame *f)
{
  struct cql_read r = body_of(f);
  return f->opcode == CQL_RESULT ? cql_read_i32(&r) : 0;
}

int cql_reply_rows(const struct cql_frame *f, struct cql_rows *ret, struct mr_error *err)
{
  struct cql_read r = body_of(f);
  memset(ret, 0, sizeof *ret);
  if (f->opcode != CQL_RESULT || cql_read_i32(&r) != CQL_ROWS)
    return malformed(err, "rows were expected");
  int rc = read_metadata(&r, ret, err);
  if (rc < 0)
    return rc;
  ret->n = cql_read_i32(&r);
  ret->cells = r;
  if (r.failed || ret->n < 0 ||
      (uint64_t)ret->n * (uint64_t)ret->columns.n > cql_read_left(&r) / 4 ||
      (ret->n && !ret->columns.n))
    return malformed(err, "the number of rows");
  return MR_OK;
}

static bool copy_short(struct cql_read *r, uint8_t **ret, size_t *ret_n)
{
  const uint8_t *p = cql_read_short(r, ret_n);
  *ret = malloc(*ret_n ? *ret_n : 1);
  if (*ret && p)
    memcpy(*ret, p, *ret_n);
  return *ret != NULL;
}

void cql_prepared_done(struct cql_prepared *p)
{
  free(p->id);
  free(p->metadata_id);
  cql_columns_done(&p->bind);
  cql_columns_done(&p->columns);
  memset(p, 0, sizeof *p);
}

static int read_bind(struct cql_read *r, struct cql_columns *ret, struct mr_error *err)
{
  int32_t flags = cql_read_i32(r), n = cql_read_i32(r), keys = cql_read_i32(r);
  cql_read_bytes(r, keys < 0 ? UINT64_MAX : 2 * (uint64_t)keys);
  return read_columns(r, flags, n, ret, err);
}

int cql_reply_prepared(const struct cql_frame *f, struct cql_prepared *ret, struct mr_error *err)
{
  struct cql_read r = body_of(f);
  struct cql_rows rows = {0};
  memset(ret, 0, sizeof *ret);
  if (f->opcode != CQL_RESULT || cql_read_i32(&r) != CQL_PREPARED)
    return malformed(err, "a prepared statement was expected");
  if (!copy_short(&r, &ret->id, &ret->id_len) ||
      (f->version >= 5 && !copy_short(&r, &ret->metadata_id, &ret->metadata_id_len)))
    return src_no_memory(err);
  int rc = read_bind(&r, &ret->bind, err);
  if (rc >= 0)
    rc = read_metadata(&r, &rows, err);
  ret->columns = rows.columns;
  if (rc >= 0 && r.failed)
    rc = malformed(err, "a prepared statement that ends too early");
  return rc;
}

/* ---- errors */

static int status_of(int32_t code)
{
  switch (code) {
  case 0x0000: /* server: an exception inside the node, as a read meets while its type is altered */
  case CQL_PROTOCOL_ERROR:
  case 0x1000: /* unavailable */
  case 0x1001: /* overloaded */
  case 0x1002: /* bootstrapping */
  case 0x1200: /* read timeout */
  case 0x1300: /* read failure */
  case CQL_UNPREPARED: return MR_RETRY;
  case 0x0100: /* bad credentials */
  case 0x2000: /* syntax */
  case 0x2100: /* unauthorized */
  case 0x2200: /* invalid */
  case 0x2300: /* configuration */ return MR_BADCONF;
  default: return MR_FATAL;
  }
}

/* Control characters and line ends of a server's text become blanks. */
static void clean(char *text)
{
  for (; *text; text++)
    if ((unsigned char)*text < 0x20)
      *text = ' ';
}

int cql_reply_error(const struct cql_frame *f, int32_t *ret_code, struct mr_error *err)
{
  struct cql_read r = body_of(f);
  char text[300], code[16];
  *ret_code = cql_read_i32(&r);
  short_text(&r, text, sizeof text);
  if (f->opcode != CQL_ERROR || r.failed)
    return malformed(err, "an error that cannot be read");
  clean(text);
  snprintf(code, sizeof code, "0x%04x", (unsigned)*ret_code);
  return src_fail(err, status_of(*ret_code), code, "%s (error %s)", text, code);
}

/* ---- events */

static void node_address(struct cql_read *r, char *buf, size_t size)
{
  char text[INET6_ADDRSTRLEN] = "";
  uint8_t n = cql_read_u8(r);
  const uint8_t *p = cql_read_bytes(r, n);
  int32_t port = cql_read_i32(r);
  if (p && (n == 4 || n == 16))
    inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text, sizeof text);
  snprintf(buf, size, "%s:%d", text, port);
}

static void schema_change(struct cql_read *r, struct cql_event *ret)
{
  ret->kind = CQL_SCHEMA_EVENT;
  short_text(r, ret->change, sizeof ret->change);
  short_text(r, ret->target, sizeof ret->target);
  short_text(r, ret->keyspace, sizeof ret->keyspace);
  if (strcmp(ret->target, "KEYSPACE"))
    short_text(r, ret->name, sizeof ret->name);
}

static void node_change(struct cql_read *r, enum cql_event_kind kind, struct cql_event *ret)
{
  ret->kind = kind;
  short_text(r, ret->change, sizeof ret->change);
  node_address(r, ret->keyspace, sizeof ret->keyspace);
}

bool cql_reply_event(const struct cql_frame *f, struct cql_event *ret)
{
  struct cql_read r = body_of(f);
  char type[32] = "SCHEMA_CHANGE";
  memset(ret, 0, sizeof *ret);
  if (f->opcode == CQL_EVENT)
    short_text(&r, type, sizeof type);
  else if (f->opcode != CQL_RESULT || cql_read_i32(&r) != CQL_SCHEMA_CHANGE)
    return false;
  if (!strcmp(type, "SCHEMA_CHANGE"))
    schema_change(&r, ret);
  else if (!strcmp(type, "STATUS_CHANGE"))
    node_change(&r, CQL_STATUS_CHANGE, ret);
  else if (!strcmp(type, "TOPOLOGY_CHANGE"))
    node_change(&r, CQL_TOPOLOGY_CHANGE, ret);
  else
    return false;
  return !r.failed;
}

bool cql_reply_supports(const struct cql_frame *f, const char *key, const char *value)
{
  struct cql_read r = body_of(f);
  bool found = false;
  if (f->opcode != CQL_SUPPORTED)
    return false;
  for (int n = cql_read_u16(&r); n > 0 && !r.failed; n--) {
    char name[64], text[64];
    short_text(&r, name, sizeof name);
    for (int k = cql_read_u16(&r); k > 0 && !r.failed; k--) {
      short_text(&r, text, sizeof text);
      found = found || (!strcmp(name, key) && !strcmp(text, value));
    }
  }
  return found && !r.failed;
}
