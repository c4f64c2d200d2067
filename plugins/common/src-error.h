/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in struct mr_error: returns the status, so that `return src_fail(err, MR_RETRY, "", "…")`
 * is one line. */
#ifndef SRC_ERROR_H
#define SRC_ERROR_H
#include <stdarg.h>
#include <stdio.h>
#include "millrace/plugin.h"

__attribute__((format(printf, 4, 5))) static inline int src_fail(struct mr_error *err, int status,
                                                                 const char *code, const char *fmt,
                                                                 ...)
{
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(err->msg, sizeof err->msg, fmt, ap);
  va_end(ap);
  snprintf(err->code, sizeof err->code, "%s", code);
  return status;
}
/* MR_BADCONF about one option. */
__attribute__((format(printf, 3, 4))) static inline int src_badconf(struct mr_error *err,
                                                                    const char *option,
                                                                    const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(err->msg, sizeof err->msg, fmt, ap);
  va_end(ap);
  snprintf(err->option, sizeof err->option, "%s", option);
  return MR_BADCONF;
}
static inline int src_no_memory(struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "", "out of memory");
}

/* A line of the runtime's log. host NULL, or without one: nothing. */
__attribute__((format(printf, 3, 4))) static inline void src_log(const struct mr_host *host,
                                                                 int level, const char *fmt, ...)
{
  char text[1024];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (host && host->log)
    host->log(host->ctx, level, text);
}

#endif
