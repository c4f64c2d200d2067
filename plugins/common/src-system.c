/* SPDX-License-Identifier: Apache-2.0 */
#include "common/src-system.h"
#include "common/src-error.h"

static const struct {
  const char *name, *format;
} columns[SRC_COLUMNS] = {
    [SRC_KEY] = {"_key", "z"},
    [SRC_TOPIC] = {"_topic", "u"},
    [SRC_PARTITION] = {"_partition", "i"},
    [SRC_OFFSET] = {"_offset", "l"},
    [SRC_TIMESTAMP] = {"_timestamp", "tsu:UTC"},
    [SRC_HEADERS] = {"_headers", "+m"},
    [SRC_OP] = {"_op", "u"},
    [SRC_POSITION] = {"_position", "L"},
    [SRC_ELEMENT] = {"_element", "I"},
    [SRC_ORIGINAL] = {"_original", "z"},
    [SRC_TTL] = {"_ttl", "i"},
    [SRC_EXPIRES] = {"_expires", "tsu:UTC"},
};

/* map<utf8, binary>: a list of structs `entries` of key and value. */
static bool map_schema(struct ArrowSchema *map)
{
  struct ArrowSchema entries;
  if (mr_schema_init(&entries, "entries", "+s", false) &&
      mr_schema_field(&entries, "key", "u", false) &&
      mr_schema_field(&entries, "value", "z", true) && mr_schema_add(map, &entries))
    return true;
  mr_schema_release(&entries);
  return false;
}

static bool column_schema(enum src_column c, struct ArrowSchema *ret)
{
  if (!mr_schema_init(ret, columns[c].name, columns[c].format, true))
    return false;
  return c != SRC_HEADERS || map_schema(ret);
}

bool src_system_fields(const struct src_system *self, struct ArrowSchema *rows)
{
  for (int i = 0; i < self->n; i++) {
    struct ArrowSchema s;
    if (column_schema(self->which[i], &s) && mr_schema_add(rows, &s))
      continue;
    mr_schema_release(&s);
    return false;
  }
  return true;
}

static int find(const char *name)
{
  for (int c = 0; c < SRC_COLUMNS; c++)
    if (!strcmp(columns[c].name, name))
      return c;
  return -1;
}

static int add_column(struct src_system *self, enum src_column c, struct mr_error *err)
{
  struct ArrowSchema s;
  bool ok = column_schema(c, &s) && mr_column_init(&self->column[self->n], &s);
  mr_schema_release(&s);
  self->which[self->n++] = c;
  self->wanted |= SRC_BIT(c);
  return ok ? MR_OK : src_no_memory(err);
}

int src_system_init(struct src_system *self, const struct mr_list *want, uint32_t makes,
                    struct mr_error *err)
{
  memset(self, 0, sizeof *self);
  for (size_t i = 0; i < want->n; i++) {
    const char *name = ((const char *const *)want->item)[i];
    int c = find(name), r = MR_OK;
    if (c < 0 || !(makes & SRC_BIT(c)))
      return src_fail(err, MR_BADCONF, "", "this source has no system column %s", name);
    else if (!src_system_wants(self, (enum src_column)c))
      r = add_column(self, (enum src_column)c, err);
    if (r < 0)
      return r;
  }
  return MR_OK;
}

void src_system_done(struct src_system *self)
{
  for (int i = 0; i < self->n; i++)
    mr_column_done(&self->column[i]);
  memset(self, 0, sizeof *self);
}

static bool repeat_bytes(struct mr_column *c, const void *p, size_t len, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    if (!(p ? mr_column_bytes(c, p, (int64_t)len) : mr_column_null(c)))
      return false;
  return true;
}

static bool repeat_text(struct mr_column *c, const char *s, int64_t n)
{
  return repeat_bytes(c, s, s ? strlen(s) : 0, n);
}

static bool repeat_int(struct mr_column *c, int64_t v, int64_t step, int64_t n)
{
  for (int64_t i = 0; i < n; i++, v += step)
    if (!mr_column_int(c, v))
      return false;
  return true;
}

static bool repeat_null(struct mr_column *c, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    if (!mr_column_null(c))
      return false;
  return true;
}

/* Each row's own part of the message. */
static bool add_originals(struct mr_column *c, const struct src_message *m, int64_t n)
{
  if (!m->original || !m->extent)
    return repeat_bytes(c, m->original, m->original_len, n);
  for (int64_t i = 0; i < n; i++)
    if (!mr_column_bytes(c, (const char *)m->original + m->extent[i].at, (int64_t)m->extent[i].len))
      return false;
  return true;
}

static bool repeat_headers(struct mr_column *c, const struct src_message *m, int64_t n)
{
  struct mr_column *entry = c->child, *name = &entry->child[0], *value = &entry->child[1];
  for (int64_t i = 0; i < n; i++) {
    for (size_t h = 0; h < m->n_header; h++)
      if (!mr_column_text(name, m->header[h].name) ||
          !repeat_bytes(value, m->header[h].value, m->header[h].len, 1) || !mr_column_end(entry))
        return false;
    if (!mr_column_end(c))
      return false;
  }
  return true;
}

static bool add(struct mr_column *c, enum src_column which, const struct src_message *m, int64_t n)
{
  switch (which) {
  case SRC_KEY: return repeat_bytes(c, m->key, m->key_len, n);
  case SRC_TOPIC: return repeat_text(c, m->topic, n);
  case SRC_PARTITION: return repeat_int(c, m->partition, 0, n);
  case SRC_OFFSET: return repeat_int(c, m->offset, 0, n);
  case SRC_TIMESTAMP:
    return m->timestamp_us == SRC_NO_TIME ? repeat_null(c, n)
                                          : repeat_int(c, m->timestamp_us, 0, n);
  case SRC_HEADERS: return repeat_headers(c, m, n);
  case SRC_OP: return repeat_text(c, m->op, n);
  case SRC_POSITION: return repeat_int(c, (int64_t)m->position, m->position_by_row, n);
  case SRC_ELEMENT: return repeat_int(c, m->element, !m->position_by_row, n);
  case SRC_ORIGINAL: return add_originals(c, m, n);
  case SRC_TTL: return m->ttl ? repeat_int(c, m->ttl, 0, n) : repeat_null(c, n);
  case SRC_EXPIRES: return m->expires_us ? repeat_int(c, m->expires_us, 0, n) : repeat_null(c, n);
  case SRC_COLUMNS: break;
  }
  return false;
}

bool src_system_add(struct src_system *self, const struct src_message *lend, int64_t n)
{
  for (int i = 0; i < self->n; i++)
    if (!add(&self->column[i], self->which[i], lend, n))
      return false;
  return true;
}

void src_system_truncate(struct src_system *self, int64_t n)
{
  for (int i = 0; i < self->n; i++)
    mr_column_truncate(&self->column[i], n);
}

bool src_system_join(struct src_system *self, struct ArrowArray *take, struct ArrowArray *give)
{
  if (!self->n) {
    mr_array_move(take, give);
    return true;
  }
  int64_t own = take->n_children;
  if (!mr_array_init(give, take->length, 1, own + self->n))
    goto fail;
  for (int64_t i = 0; i < own; i++)
    mr_array_move(take->children[i], give->children[i]);
  for (int i = 0; i < self->n; i++)
    if (!mr_column_finish(&self->column[i], give->children[own + i]))
      goto fail;
  mr_array_release(take);
  return true;
fail:
  mr_array_release(give);
  return false;
}
