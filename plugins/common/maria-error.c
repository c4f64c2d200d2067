/* SPDX-License-Identifier: Apache-2.0 */
/* What a server's error means, in words without secrets and without values of rows. */
#include "common/maria-conn.h"

static bool is_one_of(unsigned code, const uint16_t *codes, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (codes[i] == code)
      return true;
  return false;
}
#define ONE_OF(code, ...)                          \
  is_one_of(code, (const uint16_t[]){__VA_ARGS__}, \
            sizeof((const uint16_t[]){__VA_ARGS__}) / sizeof(uint16_t))

/* Deadlocks, lock waits, full disks, a server that goes down, is read-only for now or ended us. */
static bool is_transient(unsigned code)
{
  return ONE_OF(code, 1021, 1040, 1041, 1047, 1053, 1077, 1079, 1080, 1114, 1129, 1135, 1152, 1158,
                1159, 1160, 1161, 1180, 1203, 1205, 1206, 1213, 1226, 1290, 1317, 1412, 1637, 1792,
                1836, 1927, 1969, 3024);
}

static bool is_of_a_row(unsigned code)
{
  return ONE_OF(code, 1048, 1062, 1153, 1216, 1217, 1263, 1264, 1265, 1292, 1301, 1366, 1367, 1406,
                1411, 1441, 1451, 1452, 1525, 1644, 1690, 3819, 4025, 4038);
}

/* Messages that quote names only. */
static bool quotes_names(unsigned code)
{
  return ONE_OF(code, 1048, 1263, 1264, 1265, 1406, 1451, 1452, 1690, 3819, 4025);
}

int maria_status(unsigned code, const char *state)
{
  if (is_transient(code) || (code >= 2000 && code < 3000) || !strncmp(state, "08", 2) ||
      !strncmp(state, "40", 2))
    return MR_RETRY;
  if (is_of_a_row(code) || !strncmp(state, "22", 2) || !strncmp(state, "23", 2))
    return MR_REJECT;
  if (ONE_OF(code, 1044, 1045, 1049, 1130, 1698) || !strncmp(state, "42", 2) ||
      !strncmp(state, "28", 2) || !strncmp(state, "3D", 2))
    return MR_BADCONF;
  return MR_FATAL;
}

int maria_refused(const struct maria_conn *c, unsigned code, const char *state, const char *text,
                  const char *what, struct mr_error *err)
{
  char clean[330];
  int status = maria_status(code, state);
  bool hide = !quotes_names(code) && (status == MR_REJECT || status == MR_FATAL);
  maria_clean(clean, sizeof clean, text, hide);
  src_fail(err, status, state, "%s: %s (error %u, SQLSTATE %s)%s", what, clean, code, state,
           c->where);
  err->native = (int32_t)code;
  return status;
}

int maria_lost(struct maria_conn *c, const char *what, const char *why, struct mr_error *err)
{
  char text[330];
  unsigned code = c->db ? mysql_errno(c->db) : 0;
  maria_clean(text, sizeof text, why ? why : code ? mysql_error(c->db) : "connection lost", false);
  src_fail(err, MR_RETRY, "08006", "%s: %s%s", what, text, c->where);
  err->native = (int32_t)code;
  err->unreachable = true;
  maria_close(c);
  return MR_RETRY;
}
