/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/base.h"
#include "millrace/changes.h"
#include "plug/plug.h"

int mr_plugin_takes(const struct mr_plugin *p, const struct ArrowSchema *in, struct mr_error *err)
{
  int64_t at = in ? mr_schema_find(in, MR_SET) : -1;
  if (at < 0)
    return MR_OK;
  if (!mr_set_valid(in->children[at]))
    return mr_fail(err, MR_BADCONF,
                   "the system column `_set` is no struct of bools: it cannot say which columns a "
                   "row writes");
  if (MR_HAS(p, flags) && (p->flags & MR_PARTIAL))
    return MR_OK;
  if (p->sink)
    return mr_fail(err, MR_BADCONF,
                   "rows come here that write only some columns (`_set`), and `%s` would write the "
                   "others as null; if that is meant, drop `_set` before: select: {drop: _set}",
                   p->name);
  return mr_fail(err, MR_BADCONF,
                 "rows come here that write only some columns (`_set`), and `%s` does not keep "
                 "track of them; drop `_set` before: select: {drop: _set}",
                 p->name);
}

int mr_lookup_takes(const struct ArrowSchema *rows, struct mr_error *err)
{
  if (mr_schema_find(rows, MR_SET) < 0)
    return MR_OK;
  return mr_fail(err, MR_BADCONF,
                 "a lookup needs whole rows, and these write only some columns (`_set`): leave out "
                 "`absent: unset`");
}
