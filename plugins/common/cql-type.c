/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cql-type.h"
#include <ctype.h>
#include <limits.h>
#include "common/src-error.h"

#define MARSHAL "org.apache.cassandra.db.marshal."

/* What has one name in each form. option 0: none of its own. */
static const struct {
  enum cql_kind kind;
  uint16_t option;
  const char *text, *class_name;
} plain[] = {
    {CQL_ASCII, 0x01, "ascii", "AsciiType"},
    {CQL_BIGINT, 0x02, "bigint", "LongType"},
    {CQL_BLOB, 0x03, "blob", "BytesType"},
    {CQL_BOOLEAN, 0x04, "boolean", "BooleanType"},
    {CQL_COUNTER, 0x05, "counter", "CounterColumnType"},
    {CQL_DECIMAL, 0x06, "decimal", "DecimalType"},
    {CQL_DOUBLE, 0x07, "double", "DoubleType"},
    {CQL_FLOAT, 0x08, "float", "FloatType"},
    {CQL_INT, 0x09, "int", "Int32Type"},
    {CQL_TEXT, 0x0a, "text", "UTF8Type"},
    {CQL_TIMESTAMP, 0x0b, "timestamp", "TimestampType"},
    {CQL_UUID, 0x0c, "uuid", "UUIDType"},
    {CQL_TEXT, 0x0d, "varchar", "UTF8Type"},
    {CQL_VARINT, 0x0e, "varint", "IntegerType"},
    {CQL_TIMEUUID, 0x0f, "timeuuid", "TimeUUIDType"},
    {CQL_INET, 0x10, "inet", "InetAddressType"},
    {CQL_DATE, 0x11, "date", "SimpleDateType"},
    {CQL_TIME, 0x12, "time", "TimeType"},
    {CQL_SMALLINT, 0x13, "smallint", "ShortType"},
    {CQL_TINYINT, 0x14, "tinyint", "ByteType"},
    {CQL_DURATION, 0x15, "duration", "DurationType"},
    {CQL_EMPTY, 0, "empty", "EmptyType"},
    {CQL_TIMESTAMP, 0, "timestamp", "DateType"}, /* of old schemas */
    {CQL_UUID, 0, "uuid", "LexicalUUIDType"},
};
#define N_PLAIN (sizeof plain / sizeof *plain)
enum {
  OPTION_CUSTOM = 0,
  OPTION_LIST = 0x20,
  OPTION_MAP,
  OPTION_SET,
  OPTION_UDT = 0x30,
  OPTION_TUPLE
};

/* ---- the type tree */

void cql_type_done(struct cql_type *t)
{
  for (size_t i = 0; i < t->n_child; i++) {
    cql_type_done(&t->child[i]);
    if (t->field)
      free(t->field[i]);
  }
  free(t->child);
  free(t->field);
  free(t->keyspace);
  free(t->name);
  memset(t, 0, sizeof *t);
}

/* Room for one more child, zeroed; NULL: no memory, or too many. */
static struct cql_type *add_child(struct cql_type *t)
{
  if (t->n_child >= CQL_FIELDS_MAX)
    return NULL;
  if (!(t->n_child & (t->n_child - 1))) { /* grows at powers of two */
    size_t cap = t->n_child ? t->n_child * 2 : 1;
    struct cql_type *child = realloc(t->child, cap * sizeof *child);
    if (!child)
      return NULL;
    t->child = child;
    if (t->kind == CQL_UDT) {
      char **field = realloc(t->field, cap * sizeof *field);
      if (!field)
        return NULL;
      t->field = field;
    }
  }
  memset(&t->child[t->n_child], 0, sizeof *t->child);
  if (t->field)
    t->field[t->n_child] = NULL;
  return &t->child[t->n_child++];
}

bool cql_type_udt(struct cql_type *ret, const char *keyspace, const char *name)
{
  *ret = (struct cql_type){.kind = CQL_UDT, .multi = true, .name = strdup(name)};
  return ret->name && (!keyspace || (ret->keyspace = strdup(keyspace)));
}

struct cql_type *cql_type_add_field(struct cql_type *t, const char *name)
{
  struct cql_type *child = add_child(t);
  return child && (t->field[t->n_child - 1] = strdup(name)) ? child : NULL;
}

bool cql_type_copy(const struct cql_type *t, struct cql_type *ret)
{
  *ret = (struct cql_type){.kind = t->kind, .multi = t->multi, .dims = t->dims};
  if ((t->keyspace && !(ret->keyspace = strdup(t->keyspace))) ||
      (t->name && !(ret->name = strdup(t->name))))
    return false;
  for (size_t i = 0; i < t->n_child; i++) {
    struct cql_type *child = add_child(ret);
    if (!child || !cql_type_copy(&t->child[i], child) ||
        (t->field && !(ret->field[i] = strdup(t->field[i]))))
      return false;
  }
  return true;
}

static bool same_text(const char *a, const char *b)
{
  return !strcmp(a ? a : "", b ? b : "");
}

bool cql_type_equal(const struct cql_type *a, const struct cql_type *b)
{
  bool same = a->kind == b->kind && a->multi == b->multi && a->dims == b->dims &&
              a->n_child == b->n_child && same_text(a->name, b->name);
  for (size_t i = 0; same && i < a->n_child; i++)
    same = cql_type_equal(&a->child[i], &b->child[i]) &&
           (!a->field || same_text(a->field[i], b->field[i]));
  return same;
}

int64_t cql_type_fixed(const struct cql_type *t)
{
  switch (t->kind) {
  case CQL_BOOLEAN: return 1;
  case CQL_INT:
  case CQL_FLOAT: return 4;
  case CQL_BIGINT:
  case CQL_TIMESTAMP:
  case CQL_DOUBLE: return 8;
  case CQL_UUID:
  case CQL_TIMEUUID: return 16;
  case CQL_VECTOR: return t->dims * cql_type_fixed(&t->child[0]);
  default: return 0;
  }
}

/* Inside another type everything is frozen. */
static void freeze(struct cql_type *t)
{
  t->multi = false;
}

static int too_deep(struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "", "a type nests more than %d deep", CQL_DEPTH_MAX);
}
static int too_many(struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "", "out of memory for a type, or more than %d fields",
                  CQL_FIELDS_MAX);
}

/* ---- options of the native protocol */

static int option(struct cql_read *r, int depth, struct cql_type *ret, struct mr_error *err);

static int option_child(struct cql_read *r, int depth, struct cql_type *t, struct mr_error *err)
{
  struct cql_type *child = add_child(t);
  return child ? option(r, depth + 1, child, err) : too_many(err);
}

static char *short_text(struct cql_read *r)
{
  size_t n;
  const uint8_t *p = cql_read_short(r, &n);
  return strndup(p ? (const char *)p : "", n);
}

static int option_udt(struct cql_read *r, int depth, struct cql_type *ret, struct mr_error *err)
{
  ret->keyspace = short_text(r);
  ret->name = short_text(r);
  int rc = ret->keyspace && ret->name ? MR_OK : src_no_memory(err);
  for (int n = cql_read_u16(r), i = 0; rc >= 0 && i < n && !r->failed; i++) {
    struct cql_type *child = add_child(ret);
    if (!child || !(ret->field[i] = short_text(r)))
      return too_many(err);
    rc = option(r, depth + 1, child, err);
  }
  return rc;
}

static int option_tuple(struct cql_read *r, int depth, struct cql_type *ret, struct mr_error *err)
{
  int rc = MR_OK;
  for (int n = cql_read_u16(r), i = 0; rc >= 0 && i < n && !r->failed; i++)
    rc = option_child(r, depth, ret, err);
  return rc;
}

static int option_custom(struct cql_read *r, struct cql_type *ret, struct mr_error *err)
{
  size_t n;
  const uint8_t *p = cql_read_short(r, &n);
  return p ? cql_type_class((const char *)p, n, ret, err) : MR_OK;
}

static int option_id(struct cql_read *r, uint16_t id, int depth, struct cql_type *ret,
                     struct mr_error *err)
{
  int rc;
  switch (id) {
  case OPTION_CUSTOM: return option_custom(r, ret, err);
  case OPTION_LIST:
  case OPTION_SET:
    ret->kind = id == OPTION_LIST ? CQL_LIST : CQL_SET;
    return option_child(r, depth, ret, err);
  case OPTION_MAP:
    ret->kind = CQL_MAP;
    rc = option_child(r, depth, ret, err);
    return rc < 0 ? rc : option_child(r, depth, ret, err);
  case OPTION_UDT: ret->kind = CQL_UDT; return option_udt(r, depth, ret, err);
  case OPTION_TUPLE: ret->kind = CQL_TUPLE; return option_tuple(r, depth, ret, err);
  default:
    for (size_t i = 0; i < N_PLAIN && !ret->kind; i++)
      if (plain[i].option == id)
        ret->kind = plain[i].kind;
    return ret->kind ? MR_OK : src_fail(err, MR_FATAL, "", "unknown type 0x%04x", id);
  }
}

static int option(struct cql_read *r, int depth, struct cql_type *ret, struct mr_error *err)
{
  uint16_t id = cql_read_u16(r);
  if (depth > CQL_DEPTH_MAX)
    return too_deep(err);
  int rc = r->failed ? MR_OK : option_id(r, id, depth, ret, err);
  freeze(ret);
  return r->failed ? src_fail(err, MR_FATAL, "", "a type description ends too early") : rc;
}

int cql_type_option(struct cql_read *r, struct cql_type *ret, struct mr_error *err)
{
  memset(ret, 0, sizeof *ret);
  return option(r, 0, ret, err);
}

/* ---- text, of both notations */

struct scan {
  const char *p, *end;
  struct mr_error *err;
  cql_udt_fn *udt;
  void *ctx;
};

static void skip(struct scan *s)
{
  while (s->p < s->end && isspace((unsigned char)*s->p))
    s->p++;
}
static bool take(struct scan *s, char c)
{
  skip(s);
  if (s->p == s->end || *s->p != c)
    return false;
  s->p++;
  return true;
}
static int expect(struct scan *s, char c)
{
  if (take(s, c))
    return MR_OK;
  return src_fail(s->err, MR_FATAL, "", "malformed type: expected `%c` at `%.*s`", c,
                  (int)(s->end - s->p > 40 ? 40 : s->end - s->p), s->p);
}
/* Letters, digits, _ $ and what else is in `more`. Lent; length 0: none. */
static size_t word(struct scan *s, const char *more, const char **ret)
{
  skip(s);
  *ret = s->p;
  while (s->p < s->end &&
         (isalnum((unsigned char)*s->p) || *s->p == '_' || (*s->p && strchr(more, *s->p))))
    s->p++;
  return (size_t)(s->p - *ret);
}
static bool word_is(const char *w, size_t n, const char *name)
{
  return strlen(name) == n && !memcmp(w, name, n);
}

static int dimensions(struct scan *s, struct cql_type *t)
{
  const char *w;
  int64_t v = 0;
  size_t n = word(s, "", &w);
  for (size_t i = 0; i < n && v < INT32_MAX; i++)
    v = isdigit((unsigned char)w[i]) ? v * 10 + (w[i] - '0') : INT32_MAX;
  if (!n || v < 1 || v > UINT16_MAX)
    return src_fail(s->err, MR_FATAL, "", "malformed type: a vector of `%.*s` elements",
                    (int)(n > 20 ? 20 : n), w);
  t->dims = (int32_t)v;
  return MR_OK;
}

typedef int one_fn(struct scan *s, int depth, struct cql_type *ret);

/* n children between commas; n 0: one or more, up to the closing sign. */
static int children(struct scan *s, one_fn *one, int n, int depth, struct cql_type *t)
{
  int rc = MR_OK, i = 0;
  do {
    struct cql_type *child = add_child(t);
    rc = child ? one(s, depth + 1, child) : too_many(s->err);
    if (rc < 0)
      return rc;
    freeze(child);
  } while (++i != n && (n ? (rc = expect(s, ',')) >= 0 : take(s, ',')));
  return rc;
}

/* The arguments of a collection between two signs; frozen and vector included. */
static int arguments(struct scan *s, one_fn *one, const char *signs, int n, int depth,
                     struct cql_type *t)
{
  int rc = expect(s, signs[0]);
  if (rc >= 0)
    rc = children(s, one, n, depth, t);
  if (rc >= 0 && t->kind == CQL_VECTOR && (rc = expect(s, ',')) >= 0)
    rc = dimensions(s, t);
  return rc < 0 ? rc : expect(s, signs[1]);
}

/* frozen<T>, FrozenType(T), ReversedType(T): what is inside. */
static int wrapped(struct scan *s, one_fn *one, const char *signs, bool frozen, int depth,
                   struct cql_type *ret)
{
  int rc = expect(s, signs[0]);
  if (rc >= 0)
    rc = one(s, depth + 1, ret);
  if (frozen)
    freeze(ret);
  return rc < 0 ? rc : expect(s, signs[1]);
}

static const struct {
  enum cql_kind kind;
  bool multi;
  int n;
  const char *text, *class_name;
} nested[] = {
    {CQL_LIST, true, 1, "list", "ListType"},        {CQL_SET, true, 1, "set", "SetType"},
    {CQL_MAP, true, 2, "map", "MapType"},           {CQL_TUPLE, false, 0, "tuple", "TupleType"},
    {CQL_VECTOR, false, 1, "vector", "VectorType"},
};
#define N_NESTED (sizeof nested / sizeof *nested)

static int nested_type(struct scan *s, one_fn *one, const char *signs, size_t i, int depth,
                       struct cql_type *ret)
{
  ret->kind = nested[i].kind;
  ret->multi = nested[i].multi;
  return arguments(s, one, signs, nested[i].n, depth, ret);
}

static int unknown(struct scan *s, const char *w, size_t n)
{
  return src_fail(s->err, MR_FATAL, "", "unknown type `%.*s`", (int)(n > 200 ? 200 : n), w);
}

/* ---- classes */

static int hex_digit(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
/* A name that is written as the hexadecimal digits of its bytes; malloc'd. */
static int hex_name(struct scan *s, char **ret)
{
  const char *w;
  size_t n = word(s, "", &w);
  char *name = calloc(1, n / 2 + 1);
  if (!name)
    return src_no_memory(s->err);
  for (size_t i = 0; i + 1 < n; i += 2) {
    int a = hex_digit(w[i]), b = hex_digit(w[i + 1]), c = a * 16 + b;
    name[i / 2] = (char)c;
    if (a < 0 || b < 0 || !c)
      n = 1; /* no such digits: refused below */
  }
  *ret = name;
  if (n % 2 || !n)
    return src_fail(s->err, MR_FATAL, "", "malformed type: a name that is not hexadecimal");
  return MR_OK;
}

static int class_type(struct scan *s, int depth, struct cql_type *ret);

/* UserType(keyspace,hexname,hexfield:Type,…) */
static int class_udt(struct scan *s, int depth, struct cql_type *ret)
{
  const char *w;
  ret->kind = CQL_UDT;
  ret->multi = true;
  int rc = expect(s, '(');
  size_t n = word(s, "", &w);
  if (rc >= 0 && !(ret->keyspace = strndup(w, n)))
    rc = src_no_memory(s->err);
  if (rc >= 0 && (rc = expect(s, ',')) >= 0)
    rc = hex_name(s, &ret->name);
  while (rc >= 0 && take(s, ',')) {
    struct cql_type *child = add_child(ret);
    rc = child ? hex_name(s, &ret->field[ret->n_child - 1]) : too_many(s->err);
    if (rc >= 0 && (rc = expect(s, ':')) >= 0)
      rc = class_type(s, depth + 1, child);
    if (rc >= 0)
      freeze(child);
  }
  return rc < 0 ? rc : expect(s, ')');
}

static int class_type(struct scan *s, int depth, struct cql_type *ret)
{
  const char *w;
  size_t n = word(s, ".$", &w), package = strlen(MARSHAL);
  if (depth > CQL_DEPTH_MAX)
    return too_deep(s->err);
  if (n > package && !memcmp(w, MARSHAL, package)) {
    w += package;
    n -= package;
  }
  for (size_t i = 0; i < N_PLAIN; i++)
    if (word_is(w, n, plain[i].class_name)) {
      ret->kind = plain[i].kind;
      return MR_OK;
    }
  for (size_t i = 0; i < N_NESTED; i++)
    if (word_is(w, n, nested[i].class_name))
      return nested_type(s, class_type, "()", i, depth, ret);
  if (word_is(w, n, "UserType"))
    return class_udt(s, depth, ret);
  if (word_is(w, n, "FrozenType") || word_is(w, n, "ReversedType"))
    return wrapped(s, class_type, "()", *w == 'F', depth, ret);
  return unknown(s, w, n);
}

static int whole(struct scan *s, one_fn *one, int depth, struct cql_type *ret)
{
  memset(ret, 0, sizeof *ret);
  int rc = one(s, depth, ret);
  skip(s);
  if (rc >= 0 && s->p < s->end)
    rc = src_fail(s->err, MR_FATAL, "", "malformed type: `%.*s` behind its end",
                  (int)(s->end - s->p > 40 ? 40 : s->end - s->p), s->p);
  return rc;
}

/* text may be NULL where n is 0: what was to be read was not there. */
static struct scan scan_of(const char *text, size_t n, struct mr_error *err)
{
  const char *p = n ? text : "";
  return (struct scan){.p = p, .end = p + n, .err = err};
}

int cql_type_class(const char *text, size_t n, struct cql_type *ret, struct mr_error *err)
{
  struct scan s = scan_of(text, n, err);
  return whole(&s, class_type, 0, ret);
}

/* ---- CQL */

/* The name behind an opening sign, doubled signs undone; malloc'd. */
static int quoted(struct scan *s, char sign, char **ret)
{
  char *name = calloc(1, (size_t)(s->end - s->p) + 1), *to = name;
  if (!name)
    return src_no_memory(s->err);
  *ret = name;
  for (; s->p < s->end; *to++ = *s->p++)
    if (*s->p == sign && (++s->p == s->end || *s->p != sign))
      return MR_OK;
  return src_fail(s->err, MR_FATAL, "", "malformed type: a name without its closing %c", sign);
}

static int text_udt(struct scan *s, const char *name, int depth, struct cql_type *ret)
{
  if (!s->udt)
    return unknown(s, name, strlen(name));
  int rc = s->udt(s->ctx, name, depth + 1, ret, s->err);
  ret->multi = true;
  return rc;
}

static int text_type(struct scan *s, int depth, struct cql_type *ret)
{
  char *name = NULL;
  const char *w;
  if (depth > CQL_DEPTH_MAX)
    return too_deep(s->err);
  if (take(s, '"') || take(s, '\'')) {
    char sign = s->p[-1];
    int rc = quoted(s, sign, &name);
    if (rc >= 0)
      rc = sign == '"' ? text_udt(s, name, depth, ret)
                       : cql_type_class(name, strlen(name), ret, s->err);
    free(name);
    return rc;
  }
  size_t n = word(s, "", &w);
  for (size_t i = 0; i < N_PLAIN; i++)
    if (word_is(w, n, plain[i].text)) {
      ret->kind = plain[i].kind;
      return MR_OK;
    }
  for (size_t i = 0; i < N_NESTED; i++)
    if (word_is(w, n, nested[i].text))
      return nested_type(s, text_type, "<>", i, depth, ret);
  if (word_is(w, n, "frozen"))
    return wrapped(s, text_type, "<>", true, depth, ret);
  if (!n || !(name = strndup(w, n)))
    return n ? src_no_memory(s->err) : unknown(s, "", 0);
  int rc = text_udt(s, name, depth, ret);
  free(name);
  return rc;
}

int cql_type_text(const char *text, size_t n, cql_udt_fn *udt, void *ctx, int depth,
                  struct cql_type *ret, struct mr_error *err)
{
  struct scan s = scan_of(text, n, err);
  s.udt = udt;
  s.ctx = ctx;
  return whole(&s, text_type, depth, ret);
}

/* ---- names */

static bool lower_word(const char *s)
{
  bool ok = *s >= 'a' && *s <= 'z';
  for (; ok && *s; s++)
    ok = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_';
  return ok;
}

static void identifier(struct sql_buf *out, const char *name)
{
  if (lower_word(name)) {
    sql_buf_str(out, name);
    return;
  }
  sql_buf_byte(out, '"');
  for (; *name; name++) {
    if (*name == '"')
      sql_buf_byte(out, '"');
    sql_buf_byte(out, *name);
  }
  sql_buf_byte(out, '"');
}

static void bare_name(const struct cql_type *t, struct sql_buf *out)
{
  for (size_t i = 0; i < N_PLAIN; i++)
    if (plain[i].kind == t->kind) {
      sql_buf_str(out, plain[i].text);
      return;
    }
  if (t->kind == CQL_UDT) {
    identifier(out, t->name ? t->name : "");
    return;
  }
  for (size_t i = 0; i < N_NESTED; i++)
    if (nested[i].kind == t->kind)
      sql_buf_str(out, nested[i].text);
  for (size_t i = 0; i < t->n_child; i++) {
    sql_buf_str(out, i ? ", " : "<");
    cql_type_name(&t->child[i], out);
  }
  if (t->kind == CQL_VECTOR)
    sql_buf_fmt(out, ", %d", t->dims);
  sql_buf_byte(out, '>');
}

void cql_type_name(const struct cql_type *t, struct sql_buf *out)
{
  bool frozen = !t->multi && (t->kind == CQL_UDT || (t->kind >= CQL_LIST && t->kind <= CQL_MAP));
  if (frozen)
    sql_buf_str(out, "frozen<");
  bare_name(t, out);
  if (frozen)
    sql_buf_byte(out, '>');
}

bool cql_type_covers(const struct cql_type *self, const struct cql_type *other)
{
  bool covers = self->kind != other->kind || self->n_child >= other->n_child;
  for (size_t i = 0; covers && self->kind == other->kind && i < other->n_child; i++)
    covers = cql_type_covers(&self->child[i], &other->child[i]);
  return covers;
}
