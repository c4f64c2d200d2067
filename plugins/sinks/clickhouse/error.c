/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, in words without secrets and without values of rows. */
#include "clickhouse.h"

int ch_no_memory(struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "53200", "out of memory");
}

/* Numbers of src/Common/ErrorCodes.cpp that pass: time-outs, memory, replicas and keepers that are
 * away, too many parts, cancelled queries. 319: the outcome of the insert is not known. */
static bool passes(int code)
{
  static const short codes[] = {3,   23,  24,  32,  33,  74,  75,  95,   99,   107, 159, 160,
                                173, 198, 201, 202, 203, 209, 210, 225,  236,  241, 242, 243,
                                244, 252, 254, 279, 285, 286, 289, 319,  335,  394, 425, 439,
                                473, 517, 518, 574, 708, 722, 999, 1000, 1001, 1002};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (codes[i] == code)
      return true;
  return false;
}

/* Log-in refused, no such database. */
static bool shuts_out(int code)
{
  return code == 192 || code == 193 || code == 194 || code == 195 || code == 516 || code == 81;
}

/* Unknown tables, columns, types, settings, functions; syntax; privileges; read only. */
static bool is_configuration(int code)
{
  static const short codes[] = {8,   10,  15,  16,  20,  36,  43,  44,  46,  47,  48,
                                50,  53,  57,  60,  62,  63,  70,  80,  114, 115, 122,
                                164, 291, 344, 349, 352, 455, 460, 497, 524};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (codes[i] == code)
      return true;
  return false;
}

/* One line without the values of rows that the server shows, without its version. */
static void clean(struct sql_buf *body)
{
  static const char *const cuts[] = {"Column values:",   ", e.what() =", " (version ",
                                     "Stack trace:",     "(at row ",     " While executing",
                                     ": While executing"};
  char *text = (char *)sql_buf_text(body);
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
    char *at = strstr(text, cuts[i]);
    if (at)
      *at = 0;
  }
  size_t n = strlen(text);
  for (char *p = text; *p; p++)
    if ((unsigned char)*p < 0x20)
      *p = ' ';
  while (n && text[n - 1] == ' ')
    text[--n] = 0;
  if (!strncmp(text, "Code: ", 6)) {
    char *rest = text + 6 + strspn(text + 6, "0123456789");
    rest += strspn(rest, "., ");
    memmove(text, rest, strlen(rest) + 1);
  }
  char *words = strstr(text, "DB::Exception: ");
  if (words)
    memmove(text, words + 15, strlen(words + 15) + 1);
}

int ch_refused(struct ch_sink *s, struct ch_answer *a, const char *what, struct mr_error *err)
{
  char code[32];
  bool busy = a->http == 408 || a->http == 429 || a->http >= 500 || a->http < 300;
  int status = MR_FATAL;
  clean(&a->body);
  err->native = a->code;
  snprintf(code, sizeof code, "%s%ld", a->code ? "" : "HTTP ", a->code ? (long)a->code : a->http);
  if (shuts_out(a->code) || (!a->code && (a->http == 401 || a->http == 403))) {
    err->unreachable = true;
    status = MR_RETRY;
  } else if (passes(a->code) || (!a->code && busy)) {
    status = MR_RETRY;
  } else if (is_configuration(a->code) || (!a->code && a->http >= 300 && a->http < 500)) {
    status = MR_BADCONF;
  }
  return src_fail(err, status, code, "%s%s: %.380s (%s %s)", what, s->where, sql_buf_text(&a->body),
                  a->code ? "code" : "answer", code);
}

int ch_lost(struct ch_sink *s, CURLcode result, const char *what, struct mr_error *err)
{
  bool tls = result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE;
  err->unreachable = true;
  const char *why = *s->curl_error ? s->curl_error : curl_easy_strerror(result);
  return src_fail(err, MR_RETRY, tls ? "TLS" : "08006", "%s%s: %.300s", what, s->where, why);
}
