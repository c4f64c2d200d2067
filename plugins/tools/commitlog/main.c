/* SPDX-License-Identifier: Apache-2.0 */
/* commitlog [--schema FILE]… [--node HOST [--user NAME]] [--system] FILE…: the mutations of commit
 * log segments as JSON lines. `millrace inspect --commitlog` runs it; damage goes to standard
 * error. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "common/clog-cql.h"
#include "common/clog-system.h"
#include "node.h"
#include "print.h"

enum {
  EXIT_OK = 0,
  EXIT_DAMAGED = 1,
  EXIT_WRONG = 2,
  EXIT_UNREACHABLE = 3
}; /* as millrace itself */

struct reading {
  struct clog_schema *schema;
  struct clog_decoder *decoder;
  struct sql_buf line;
  bool system, damaged, stopped;
  const char *node, *user; /* NULL: none */
  long unknown;            /* mutations */
};

static void complain(struct reading *r, const struct mr_error *err)
{
  fprintf(stderr, "millrace: %s\n", err->msg);
  r->damaged = true;
}

/* A clog_want_fn: all tables, those of system keyspaces when asked for. */
static bool is_wanted(void *ctx, const char *keyspace, const char *table)
{
  const struct reading *r = ctx;
  (void)table;
  return r->system || strncmp(keyspace, "system", 6) != 0;
}

static void flush_line(struct reading *r)
{
  if (r->line.failed || fwrite(r->line.p, 1, r->line.len, stdout) != r->line.len)
    r->stopped = true;
  sql_buf_clear(&r->line);
}

static void print_events(struct reading *r, const struct clog_events *events,
                         const struct clog_entry *entry)
{
  for (size_t i = 0; i < events->n && !r->stopped; i++)
    if (!events->system_schema || r->system) {
      print_event(&r->line, &events->event[i], entry);
      flush_line(r);
    }
}

static void read_mutation(struct reading *r, const struct clog_entry *entry, int32_t version)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct clog_events events;
  int status = clog_decode(r->decoder, entry, version, &events, &err);
  if (status == MR_OK) {
    print_events(r, &events, entry);
    if (events.system_schema)
      status = clog_system_apply(r->schema, &events, entry, &err);
  } else if (status == MR_SCHEMA) {
    r->unknown++;
    print_unknown(&r->line, clog_decoder_unknown(r->decoder), entry);
    flush_line(r);
  }
  if (status < 0)
    complain(r, &err);
}

static void read_segment(struct reading *r, const char *path)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct clog_segment *s = NULL;
  struct clog_entry entry;
  int status = clog_segment_open(path, CLOG_WHOLE, &s, &err);
  if (status < 0) {
    complain(r, &err);
    return;
  }
  while (!r->stopped && (status = clog_segment_next(s, &entry, &err)) != MR_END) {
    if (status == MR_OK)
      read_mutation(r, &entry, clog_segment_header(s)->version);
    else
      complain(r, &err);
    if (status == MR_RETRY || status == MR_FATAL)
      break;
  }
  clog_segment_close(s);
}

static void read_folder(struct reading *r, const char *path)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct clog_segment_name *names;
  size_t n;
  if (clog_names(path, &names, &n, &err) < 0) {
    complain(r, &err);
    return;
  }
  for (size_t i = 0; i < n && !r->stopped; i++)
    read_segment(r, names[i].path);
  clog_names_free(names, n);
}

static void read_path(struct reading *r, const char *path)
{
  struct stat st;
  if (!stat(path, &st) && S_ISDIR(st.st_mode))
    read_folder(r, path);
  else
    read_segment(r, path);
}

/* The whole file; NULL: errno says why. Caller frees. */
static char *read_text(const char *path, size_t *ret_n)
{
  struct sql_buf text = {0};
  FILE *in = fopen(path, "re");
  if (!in)
    return NULL;
  size_t n = 1;
  while (n && sql_buf_reserve(&text, 65536)) {
    n = fread(text.p + text.len, 1, 65536, in);
    text.len += n;
  }
  bool ok = !ferror(in) && !text.failed;
  int error = errno;
  fclose(in);
  if (ok) {
    *ret_n = text.len;
    return (char *)text.p;
  }
  sql_buf_done(&text);
  errno = error;
  return NULL;
}

static bool read_schema(struct reading *r, const char *path)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  size_t n;
  char *text = read_text(path, &n);
  if (!text) {
    fprintf(stderr, "millrace: %s: %s\n", path, strerror(errno));
    return false;
  }
  int status = clog_cql_read(r->schema, text, n, &err);
  if (status < 0)
    fprintf(stderr, "millrace: %s: %s\n", path, err.msg);
  free(text);
  return status >= 0;
}

static bool ask_node(struct reading *r)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  bool ok = !r->node || node_schema(r->schema, r->node, r->user, &err) >= 0;
  if (!ok)
    fprintf(stderr, "millrace: %s\n", err.msg);
  return ok;
}

static int usage(void)
{
  fputs("usage: commitlog [--schema FILE]… [--node HOST [--user NAME]] [--system] FILE…\n", stderr);
  return EXIT_WRONG;
}

/* false: wrong usage. Tables are asked for as they become known, so --system is read first. */
static bool read_options(struct reading *r, int argc, char **argv, bool schemas, bool *ret_ok)
{
  static const struct option options[] = {{"schema", required_argument, NULL, 's'},
                                          {"system", no_argument, NULL, 'y'},
                                          {"node", required_argument, NULL, 'n'},
                                          {"user", required_argument, NULL, 'u'},
                                          {0}};
  *ret_ok = true;
  optind = 1;
  for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
    if (c == '?')
      return false;
    if (c == 'y')
      r->system = true;
    if (c == 'n')
      r->node = optarg;
    if (c == 'u')
      r->user = optarg;
    if (c == 's' && schemas && *ret_ok)
      *ret_ok = read_schema(r, optarg);
  }
  return optind < argc;
}

static int read_all(struct reading *r, int argc, char **argv)
{
  bool ok;
  read_options(r, argc, argv, true, &ok);
  if (!ok)
    return EXIT_WRONG;
  if (!ask_node(r))
    return EXIT_UNREACHABLE;
  for (int i = optind; i < argc && !r->stopped; i++)
    read_path(r, argv[i]);
  if (r->unknown)
    fprintf(stderr, "millrace: %ld mutations of tables or columns that the schema does not have\n",
            r->unknown);
  return r->damaged || r->stopped || fflush(stdout) ? EXIT_DAMAGED : EXIT_OK;
}

int main(int argc, char **argv)
{
  struct reading r = {0};
  bool ok;
  if (!read_options(&r, argc, argv, false, &ok))
    return usage();
  r.schema = clog_schema_new(is_wanted, &r);
  r.decoder = r.schema ? clog_decoder_new(r.schema) : NULL;
  int code = r.decoder ? read_all(&r, argc, argv) : EXIT_DAMAGED;
  clog_decoder_free(r.decoder);
  clog_schema_free(r.schema);
  sql_buf_done(&r.line);
  return code;
}
