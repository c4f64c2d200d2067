/* SPDX-License-Identifier: Apache-2.0 */
/* What `millrace status` and `millrace top` share, and the table that `top` shows. */
#ifndef MR_TOP_H
#define MR_TOP_H

/* The address that the user gave, or the usual one for "". Lent. */
const char *mr_status_url(const char *arg);
/* GET url + path. The body, which the caller frees, or NULL after it printed why. */
char *mr_status_get(const char *url, const char *path);

/* The table for two answers of /status that are `seconds` apart: rates are of the time between,
 * totals of the later one. columns: the width lines are cut at; 0: they are not. NULL: `now` is no
 * such answer. Caller frees. */
char *mr_top_table(const char *before, const char *now, double seconds, int columns);

#endif
