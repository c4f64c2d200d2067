/* SPDX-License-Identifier: Apache-2.0 */
/* System columns that change what a row means: only plugins that know them get such rows. */
#include <string.h>
#include "base/base.h"
#include "millrace/changes.h"
#include "plug/plug.h"

struct meaning {
  const char *column;
  uint32_t flag;
  bool (*valid)(const struct ArrowSchema *);
  const char *broken;  /* what is wrong with one that is not valid */
  const char *rows;    /* what such rows are */
  const char *sink;    /* what a sink without the flag would do with them, after its name */
  const char *passing; /* a transform without it */
  const char *lookup;  /* why no lookup can have them */
};
static const struct meaning meanings[] = {
    {MR_SET, MR_PARTIAL, mr_set_valid,
     "is no struct of bools: it cannot say which columns a row writes",
     "write only some columns (`_set`)", "would write the others as null",
     "does not keep track of them",
     "a lookup needs whole rows, and these write only some columns (`_set`): leave out `absent: "
     "unset`"},
    {MR_RANGE, MR_RANGES, mr_range_valid,
     "is no struct of bounds: it cannot say which rows a delete means",
     "mean deletes of many rows (`_range`)", "would take each for a row",
     "does not keep track of what they bound",
     "a lookup needs rows, and some of these would be deletes of many rows (`_range`)"},
};

static int takes_one(const struct meaning *m, const struct mr_plugin *p,
                     const struct ArrowSchema *in, struct mr_error *err)
{
  int64_t at = mr_schema_find(in, m->column);
  if (at < 0)
    return MR_OK;
  if (!m->valid(in->children[at]))
    return mr_fail(err, MR_BADCONF, "the system column `%s` %s", m->column, m->broken);
  if (MR_HAS(p, flags) && (p->flags & m->flag))
    return MR_OK;
  return mr_fail(err, MR_BADCONF,
                 p->sink ? "rows come here that %s, and `%s` %s; if that is meant, drop `%s` "
                           "before: select: {drop: %s}"
                         : "rows come here that %s, and `%s` %s; drop `%s` before: select: "
                           "{drop: %s}",
                 m->rows, p->name, p->sink ? m->sink : m->passing, m->column, m->column);
}

int mr_plugin_takes(const struct mr_plugin *p, const struct ArrowSchema *in, struct mr_error *err)
{
  int status = MR_OK;
  for (size_t i = 0; in && i < G_N_ELEMENTS(meanings) && status >= 0; i++)
    status = takes_one(&meanings[i], p, in, err);
  return status;
}

int mr_lookup_takes(const struct ArrowSchema *rows, struct mr_error *err)
{
  for (size_t i = 0; i < G_N_ELEMENTS(meanings); i++)
    if (mr_schema_find(rows, meanings[i].column) >= 0)
      return mr_fail(err, MR_BADCONF, "%s", meanings[i].lookup);
  return MR_OK;
}
