/* SPDX-License-Identifier: Apache-2.0 */
/* commitlog-reader SEGMENT SCHEMA KEYSPACE: reads and decodes a commit log segment for each line on
 * standard input; a line of JSON says what that took: CPU time and time of this one thread. Tables
 * of other keyspaces are passed over. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "common/clog-cql.h"
#include "common/clog-system.h"

struct count {
  long mutations, events, cells; /* of tables that are not the node's own */
};

static double seconds(clockid_t clock)
{
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A clog_want_fn. */
static bool is_wanted(void *ctx, const char *keyspace, const char *table)
{
  (void)table;
  return !strcmp(keyspace, ctx);
}

static void stop_at(int status, const struct mr_error *err)
{
  fprintf(stderr, "commitlog-reader: %d: %s\n", status, err->msg);
  exit(1);
}

/* The decoder and reader as the source has them, the schema known beforehand. */
static void read_segment(const char *path, struct clog_schema *schema, struct count *ret)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct clog_segment *s;
  struct clog_entry entry;
  struct clog_events events;
  struct clog_decoder *d = clog_decoder_new(schema);
  int status = clog_segment_open(path, CLOG_WHOLE, &s, &err);
  if (!d || status != MR_OK)
    stop_at(status, &err);
  int32_t version = clog_segment_header(s)->version;
  while ((status = clog_segment_next(s, &entry, &err)) == MR_OK) {
    status = clog_decode(d, &entry, version, &events, &err);
    if (status == MR_OK && !events.system_schema) {
      ret->mutations++;
      ret->events += (long)events.n;
      for (size_t i = 0; i < events.n; i++)
        ret->cells += events.event[i].n_cells;
    } else if (status < 0 || (status == MR_SCHEMA && clog_decoder_unknown(d)->table)) {
      stop_at(status, &err);
    }
  }
  if (status != MR_END)
    stop_at(status, &err);
  clog_segment_close(s);
  clog_decoder_free(d);
}

static struct clog_schema *read_schema(const char *path, char *keyspace)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct clog_schema *schema = clog_schema_new(is_wanted, keyspace);
  char *text = NULL;
  size_t cap = 0;
  FILE *in = fopen(path, "re");
  ssize_t n = in ? getdelim(&text, &cap, '\0', in) : -1;
  if (!schema || n < 0 || clog_cql_read(schema, text, (size_t)n, &err) < 0)
    stop_at(MR_BADCONF, &err);
  fclose(in);
  free(text);
  return schema;
}

int main(int argc, char **argv)
{
  char *line = NULL;
  size_t cap = 0;
  if (argc != 4) {
    fputs("usage: commitlog-reader SEGMENT SCHEMA KEYSPACE\n", stderr);
    return 2;
  }
  struct clog_schema *schema = read_schema(argv[2], argv[3]);
  while (getline(&line, &cap, stdin) > 0) {
    struct count n = {0};
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    read_segment(argv[1], schema, &n);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    printf(
        "{\"mutations\": %ld, \"events\": %ld, \"cells\": %ld, \"seconds\": %.6f, \"cpu\": %.6f}\n",
        n.mutations, n.events, n.cells, wall, cpu);
    fflush(stdout);
  }
  free(line);
  clog_schema_free(schema);
  return 0;
}
