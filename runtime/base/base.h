/* SPDX-License-Identifier: Apache-2.0 */
/* Small things every layer uses: error filling, cleanup attributes, overflow-checked sizes. */
#ifndef MR_BASE_H
#define MR_BASE_H
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include "millrace/plugin.h"

#define MR_VERSION "0.1.0"
#define MR_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MR_ERROR_INIT                          \
  {                                            \
    .size = sizeof(struct mr_error), .row = -1 \
  }

static inline void mr_free_cleanup(void *p)
{
  free(*(void **)p);
}
#define MR_AUTOFREE __attribute__((cleanup(mr_free_cleanup)))

/* Fills err->msg (printf) and returns status. Keeps what else is in err. Any thread. */
int mr_fail(struct mr_error *err, int status, const char *fmt, ...) MR_PRINTF(3, 4);
/* The same with err->code set ("22012"). */
int mr_fail_code(struct mr_error *err, int status, const char *code, const char *fmt, ...)
    MR_PRINTF(4, 5);
/* Zeroes err as the ABI wants it before a call. */
void mr_error_clear(struct mr_error *err);
/* The name of a status: "retry", "reject", ...; a static string. */
const char *mr_status_name(int status);

#endif
