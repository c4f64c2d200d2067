/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clog-file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/cql-read.h"
#include "common/src-error.h"

#define VERSION_FIRST 7
#define VERSION_LAST 8
#define IDX_MAX 64 /* bytes: a number of 20 digits and a word */
#define CLASS_MAX 128

/* ---------------------------------------------------------------- names */

/* Digits only, at least one; moves *p behind them. */
static bool parse_number(const char **p, int64_t *ret)
{
  int64_t v = 0;
  const char *s = *p;
  for (; *s >= '0' && *s <= '9'; s++)
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
      return false;
  if (s == *p)
    return false;
  *p = s;
  *ret = v;
  return true;
}

bool clog_name_parse(const char *name, int32_t *ret_version, int64_t *ret_id)
{
  static const char prefix[] = "CommitLog-";
  const char *slash = strrchr(name, '/');
  const char *p = slash ? slash + 1 : name;
  int64_t version, id;
  if (strncmp(p, prefix, sizeof prefix - 1))
    return false;
  p += sizeof prefix - 1;
  if (!parse_number(&p, &version) || version > INT32_MAX || *p++ != '-' || !parse_number(&p, &id) ||
      strcmp(p, ".log"))
    return false;
  *ret_version = (int32_t)version;
  *ret_id = id;
  return true;
}

static int by_id(const void *a, const void *b)
{
  int64_t x = ((const struct clog_segment_name *)a)->id,
          y = ((const struct clog_segment_name *)b)->id;
  return (x > y) - (x < y);
}

static bool add_name(struct clog_segment_name **names, size_t *n, const char *folder,
                     const char *name)
{
  int32_t version;
  struct clog_segment_name new = {0};
  if (!clog_name_parse(name, &version, &new.id))
    return true;
  if (asprintf(&new.path, "%s/%s", folder, name) < 0)
    return false;
  struct clog_segment_name *more = realloc(*names, (*n + 1) * sizeof **names);
  if (!more) {
    free(new.path);
    return false;
  }
  *names = more;
  more[(*n)++] = new;
  return true;
}

int clog_names(const char *folder, struct clog_segment_name **ret, size_t *ret_n,
               struct mr_error *err)
{
  struct clog_segment_name *names = NULL;
  size_t n = 0;
  bool ok = true;
  DIR *dir = opendir(folder);
  if (!dir)
    return src_fail(err, MR_RETRY, "folder", "%s: %s", folder, strerror(errno));
  for (const struct dirent *d; ok && (d = readdir(dir));)
    ok = add_name(&names, &n, folder, d->d_name);
  closedir(dir);
  if (!ok) {
    clog_names_free(names, n);
    return src_no_memory(err);
  }
  if (n)
    qsort(names, n, sizeof *names, by_id);
  *ret = names;
  *ret_n = n;
  return MR_OK;
}

void clog_names_free(struct clog_segment_name *names, size_t n)
{
  for (size_t i = 0; i < n; i++)
    free(names[i].path);
  free(names);
}

/* ---------------------------------------------------------------- idx */

/* "….log" -> "…_cdc.idx"; NULL: no memory, or no .log. Caller frees. */
static char *idx_path(const char *path)
{
  char *out;
  size_t n = strlen(path);
  if (n < 4 || strcmp(path + n - 4, ".log") || asprintf(&out, "%.*s_cdc.idx", (int)n - 4, path) < 0)
    return NULL;
  return out;
}

static ssize_t read_small(const char *path, char *text, size_t size)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  ssize_t n = read(fd, text, size);
  close(fd);
  return n;
}

static int idx_parse(const char *text, const char *path, struct clog_idx *ret, struct mr_error *err)
{
  static const char done[] = "\nCOMPLETED";
  struct clog_idx idx = {0};
  const char *p = text;
  if (!*p)
    return MR_IDLE;
  if (!parse_number(&p, &idx.position))
    return src_fail(err, MR_RETRY, "idx", "%s: does not begin with a position", path);
  idx.completed = !strcmp(p, done) || (!strncmp(p, done, sizeof done - 1) && !strcmp(p + 10, "\n"));
  if (!idx.completed && strncmp(p, done, strlen(p)))
    return src_fail(err, MR_RETRY, "idx", "%s: neither a position nor a position and COMPLETED",
                    path);
  if (!idx.completed && *p)
    return MR_IDLE; /* the word is half written */
  *ret = idx;
  return MR_OK;
}

int clog_idx_read(const char *path, struct clog_idx *ret, struct mr_error *err)
{
  char text[IDX_MAX + 1];
  char *idx = idx_path(path);
  if (!idx)
    return MR_IDLE;
  ssize_t n = read_small(idx, text, IDX_MAX);
  int status = MR_IDLE;
  if (n >= 0) {
    text[n] = 0;
    status = idx_parse(text, idx, ret, err);
  } else if (errno != ENOENT) {
    status = src_fail(err, MR_RETRY, "idx", "%s: %s", idx, strerror(errno));
  }
  free(idx);
  return status;
}

/* ---------------------------------------------------------------- descriptor */

/* Finds "name" as a key of the params, which are one JSON object that Cassandra's own writer made;
 * copies its value when that is a string without escapes. false: no such key. *ret_value "": it has
 * another value. */
static bool param(const char *json, size_t n, const char *name, char ret_value[CLASS_MAX])
{
  char key[CLASS_MAX];
  int k = snprintf(key, sizeof key, "\"%s\"", name);
  const char *p = memmem(json, n, key, (size_t)k), *end = json + n;
  ret_value[0] = 0;
  if (!p)
    return false;
  for (p += k; p < end && (*p == ' ' || *p == ':'); p++)
    continue;
  if (p == end || *p++ != '"')
    return true;
  const char *close = memchr(p, '"', (size_t)(end - p));
  if (close && close - p < CLASS_MAX && !memchr(p, '\\', (size_t)(close - p))) {
    memcpy(ret_value, p, (size_t)(close - p));
    ret_value[close - p] = 0;
  }
  return true;
}

static int read_params(const char *json, size_t n, struct clog_header *h, struct mr_error *err)
{
  char value[CLASS_MAX];
  if (param(json, n, "encCipher", value))
    return src_fail(err, MR_REJECT, "encrypted",
                    "the segment is encrypted (%s): Cassandra must write its commit log without "
                    "transparent_data_encryption_options",
                    value);
  h->codec = CLOG_PLAIN;
  if (param(json, n, "compressionClass", value) && !clog_codec_find(value, &h->codec))
    return src_fail(err, MR_REJECT, "codec", "the segment is compressed by `%s`, which is unknown",
                    value);
  return MR_OK;
}

static uint32_t header_crc(const uint8_t *p, uint16_t n)
{
  uint8_t fed[16] = {0};
  memcpy(fed, p, 4);           /* version */
  memcpy(fed + 4, p + 8, 4);   /* id, low half first */
  memcpy(fed + 8, p + 4, 4);   /* id, high half */
  memcpy(fed + 14, p + 12, 2); /* the length, as four bytes */
  uint32_t crc = libdeflate_crc32(0, fed, sizeof fed);
  return libdeflate_crc32(crc, p + CLOG_HEADER_FIXED, n);
}

int clog_header_parse(const uint8_t *p, size_t n, struct clog_header *ret, struct mr_error *err)
{
  if (n < CLOG_HEADER_FIXED + 4)
    return MR_IDLE;
  struct clog_header h = {.version = (int32_t)cql_be32(p), .id = (int64_t)cql_be64(p + 4)};
  if (h.version < VERSION_FIRST || h.version > VERSION_LAST)
    return src_fail(err, MR_REJECT, "version",
                    "commit log version %d: versions %d (Cassandra 4.0) to %d (5.0) can be read",
                    h.version, VERSION_FIRST, VERSION_LAST);
  uint16_t params = cql_be16(p + 12);
  h.len = CLOG_HEADER_FIXED + params + 4u;
  if (n < h.len)
    return MR_IDLE;
  if (header_crc(p, params) != cql_be32(p + CLOG_HEADER_FIXED + params))
    return src_fail(err, MR_REJECT, "header", "the checksum of the segment's head is wrong");
  int status = read_params((const char *)p + CLOG_HEADER_FIXED, params, &h, err);
  if (status == MR_OK)
    *ret = h;
  return status;
}
