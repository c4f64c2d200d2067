/* SPDX-License-Identifier: Apache-2.0 */
/* The schema that the log is read with: from the node at the first start, from the log's own
 * changes of it, and from the node again where it names something unknown. */
#include <inttypes.h>
#include "common/clog-cql.h"
#include "common/clog-node.h"
#include "common/clog-system.h"
#include "common/src-error.h"
#include "log.h"

static const char known_mark[] = "-- known to segment ";

bool cass_log_schema_ours(const struct cass_log *l, const struct clog_table *t)
{
  return t->wanted && cass_node_made(t->id) >= l->made;
}

static size_t count_versions(const struct cass_log *l)
{
  const struct clog_table *t;
  size_t n = 0;
  for (size_t i = 0; (t = clog_schema_nth(l->schema, i)); i++)
    n += cass_log_schema_ours(l, t);
  return n;
}

/* The table that the node had at the first start stands at the beginning: those of the same name
 * before it were dropped. */
static void find_first(struct cass_log *l)
{
  const struct clog_table *t;
  for (size_t i = 0; (t = clog_schema_nth(l->schema, i)); i++)
    if (t->wanted && !t->from_segment && !t->from_position && cass_node_made(t->id) > l->made)
      l->made = cass_node_made(t->id);
}

const struct clog_table *cass_log_schema_table(const struct cass_log *l)
{
  const struct clog_table *t, *found = NULL;
  for (size_t i = 0; (t = clog_schema_nth(l->schema, i)); i++)
    if (cass_log_schema_ours(l, t) &&
        (!found || t->from_segment > found->from_segment ||
         (t->from_segment == found->from_segment && t->from_position >= found->from_position)))
      found = t;
  return found;
}

/* Writes it down where it is another than on disk. */
static int save(struct cass_log *l, struct mr_error *err)
{
  struct sql_buf text = {0};
  size_t n = count_versions(l);
  clog_cql_write(l->schema, &text);
  sql_buf_fmt(&text, "%s%" PRId64 " position %" PRId64 "\n", known_mark, l->known_segment,
              l->known_position);
  bool same = !text.failed && text.len == l->schema_text.len && l->schema_text.p &&
              !memcmp(text.p, l->schema_text.p, text.len);
  int rc = same ? MR_OK : cass_history_save(&l->history, &text, err);
  if (rc < 0 || same) {
    sql_buf_done(&text);
    return rc;
  }
  sql_buf_done(&l->schema_text);
  l->schema_text = text;
  l->reshape |= n != l->versions;
  l->versions = n;
  return MR_OK;
}

static int ask_node(struct cass_log *l, int64_t segment, int64_t position, struct mr_error *err)
{
  int rc = cql_conn_open(&l->conn, err);
  if (rc >= 0)
    rc = clog_node_read(l->schema, &l->conn, l->name.schema, err);
  return rc < 0 ? rc : clog_schema_commit(l->schema, segment, position, err);
}

/* What was written down is in force as it says; its last line says up to where the log is in it. */
static int load(struct cass_log *l, struct sql_buf *text, struct mr_error *err)
{
  const char *all = sql_buf_text(text), *mark = strstr(all, known_mark);
  if (mark)
    sscanf(mark + sizeof known_mark - 1, "%" SCNd64 " position %" SCNd64, &l->known_segment,
           &l->known_position);
  int rc = clog_cql_read(l->schema, all, text->len, err);
  if (rc < 0) {
    char why[sizeof err->msg];
    memcpy(why, err->msg, sizeof why);
    return src_fail(err, MR_FATAL, "history", "%.150s/%.60s.cql: %.250s", l->history.folder,
                    l->history.reader, why);
  }
  l->schema_text = *text;
  *text = (struct sql_buf){0};
  find_first(l);
  l->versions = count_versions(l);
  return MR_OK;
}

int cass_log_schema_start(struct cass_log *l, struct mr_error *err)
{
  struct sql_buf text = {0};
  if (l->versions)
    return MR_OK;
  int rc = cass_history_load(&l->history, &text, err);
  if (rc == MR_OK)
    rc = load(l, &text, err);
  sql_buf_done(&text);
  if (rc >= 0 && !l->versions) /* nothing of this table is known yet */
    rc = ask_node(l, 0, 0, err);
  if (rc >= 0 && !l->versions)
    find_first(l);
  return rc < 0 ? rc : save(l, err);
}

int cass_log_schema_apply(struct cass_log *l, struct mr_error *err)
{
  const struct clog_entry *e = &l->entry;
  if (e->segment < l->known_segment ||
      (e->segment == l->known_segment && e->end <= l->known_position))
    return MR_OK;
  int rc = clog_system_apply(l->schema, &l->events, e, err);
  if (rc == MR_FATAL)
    return rc;
  if (rc < 0) /* of another table, or of one whose type the next change of it may name */
    src_log(l->host, MR_WARN, "%s", err->msg);
  l->known_segment = e->segment;
  l->known_position = e->end;
  return save(l, err);
}

/* ---------------------------------------------------------------- what is unknown */

/* Does the mutation have the id of any version of the wanted table? */
static bool is_ours(const struct cass_log *l)
{
  const struct clog_table *t;
  for (size_t i = 0; (t = clog_schema_nth(l->schema, i)); i++)
    if (t->wanted && memmem(l->entry.data, l->entry.len, t->id, sizeof t->id))
      return true;
  return false;
}

static int64_t hash_of(const struct clog_unknown *u)
{
  uint64_t h = cass_hash(CASS_HASH, u->id, 16);
  if (u->column)
    h = cass_hash(h, u->column, u->column_len);
  return (int64_t)h;
}

int cass_log_schema_ask(struct cass_log *l, struct mr_error *err)
{
  const struct clog_unknown *u = clog_decoder_unknown(l->decoder);
  int64_t hash = hash_of(u);
  if (!cass_ids_has(&l->asked, hash)) {
    int rc = ask_node(l, l->entry.segment, l->entry.position, err);
    if (rc >= 0)
      rc = cass_ids_add(&l->asked, hash) ? save(l, err) : src_no_memory(err);
    return rc;
  }
  if (!is_ours(l))
    return MR_IDLE;
  const char *what = u->table ? u->table->name : "a table";
  return src_fail(err, MR_REJECT, "schema",
                  "segment %" PRId64 ": position %" PRId64 ": a mutation of %.200s names %s%.*s "
                  "that neither the log nor the node knows",
                  l->entry.segment, l->entry.position, what, u->column ? "column " : "a table",
                  u->column ? (int)u->column_len : 0, u->column ? (const char *)u->column : "");
}
