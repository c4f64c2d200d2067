/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: from YAML values to a plugin's own config struct, and back to a walk over what was
 * set. */
#ifndef MR_OPTION_H
#define MR_OPTION_H
#include "conf/node.h"
#include "millrace/plugin.h"

#define MR_OPTION_TABLE 256 /* options of one table */
#define MR_OPTION_DEPTH 8   /* groups in groups */

struct mr_load;
/* The i-th element of a table whose elements are stride bytes apart; NULL at its end. */
const struct mr_opt *mr_option_at(const struct mr_opt *table, size_t stride, size_t i);
const struct mr_opt *mr_option_find(const struct mr_opt *table, size_t stride, const char *name);
/* The names of a table, for suggestions: an array of lent strings. Caller unrefs. */
GPtrArray *mr_option_names(const struct mr_opt *table, size_t stride);
size_t mr_option_field_size(
    const struct mr_opt *opt); /* of one value, MR_MANY and MR_KEYED apart */
/* "text", "whole number", … as help and messages name a type. Static. */
const char *mr_option_type_name(const struct mr_opt *opt);
/* Whether a table can be used at all: names, types, flags, offsets inside conf_size, ranges,
 * defaults. NULL, or what is wrong (caller frees). */
char *mr_option_table_check(const struct mr_opt *table, size_t stride, size_t conf_size);

/* Fills conf (zeroed, of the table's size) from the mapping and reports what is wrong there. map
 * NULL: only defaults. prefix: the path that --set would use ("out"), for the list of values. Keys
 * in `also` (may be NULL) are somebody else's and not unknown. */
void mr_option_fill(struct mr_load *l, const struct mr_opt *table, size_t stride,
                    struct mr_ynode *map, const char *prefix, const char *const *also, void *conf);

/* Calls visit for every value of a filled conf; one call for each item of a list and of a keyed
 * map. path: "set.trade_date", "routes.2.topic". field: the item's C field; key: of a keyed item,
 * else NULL. Groups are walked into, formats are not. */
typedef void mr_option_visit_fn(void *out, const struct mr_opt *opt, const char *path,
                                const char *key, void *field);
void mr_option_walk(const struct mr_opt *table, size_t stride, void *conf,
                    mr_option_visit_fn *visit, void *out);

#endif
