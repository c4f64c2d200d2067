/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include <stdio.h>

static void fill(struct mr_error *err, const char *fmt, va_list ap)
{
  vsnprintf(err->msg, sizeof err->msg, fmt, ap);
}

int mr_fail(struct mr_error *err, int status, const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  fill(err, fmt, ap);
  va_end(ap);
  return status;
}

int mr_fail_code(struct mr_error *err, int status, const char *code, const char *fmt, ...)
{
  va_list ap;
  snprintf(err->code, sizeof err->code, "%s", code);
  va_start(ap, fmt);
  fill(err, fmt, ap);
  va_end(ap);
  return status;
}

void mr_error_clear(struct mr_error *err)
{
  *err = (struct mr_error)MR_ERROR_INIT;
}

const char *mr_status_name(int status)
{
  switch (status) {
  case MR_RETRY: return "retry";
  case MR_REJECT: return "reject";
  case MR_BADCONF: return "configuration";
  case MR_FATAL: return "fatal";
  case MR_UNSURE: return "unsure";
  case MR_FENCED: return "fenced";
  default: return status >= 0 ? "ok" : "unknown";
  }
}
