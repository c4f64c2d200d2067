/* SPDX-License-Identifier: Apache-2.0 */
/* A catalog of plugins and formats that exist in the test alone, and one call that reads a file and
 * gives its problems as text. */
#ifndef FAKE_H
#define FAKE_H
#include "conf/spec.h"

struct fake_format;      /* what a format option becomes */
struct fake_source {     /* tap */
  struct mr_list topics; /* required, one or many */
  const char *password;  /* secret */
  const char *url;
  int64_t port, size, wait_ms; /* 1..65535; 1KiB..; default 5s */
  double ratio;                /* 0..1 */
  bool strict;
  int32_t begin;          /* earliest | latest, default earliest */
  struct mr_list options; /* keyed text */
  const struct ArrowSchema *columns;
  const struct fake_format {
    const struct mr_format_desc *desc;
    const struct fake_csv *conf;
  } * format;
  struct fake_sasl {
    const char *user, *password;
  } sasl;
  struct mr_list routes; /* groups: one or many */
  struct mr_list shards; /* groups, keyed */
};
struct fake_route {
  const char *topic;
  int64_t weight;
};
struct fake_csv {
  const char *delimiter;
  bool header;
};
struct fake_mid {     /* mid, mask */
  struct mr_list set; /* keyed expressions */
  const char *with;   /* lookup */
  const char *key;
};
struct fake_out { /* out */
  const char *table;
  int32_t mode; /* append | upsert */
  struct mr_list key;
};

extern const struct mr_catalog fake_catalog;

/* Reads text; *ret_problems: as `check` prints them, for the file `f`. The spec is NULL when there
 * are problems. */
struct mr_spec *fake_load(const char *text, const char *const *overrides, char **ret_problems);
/* Asserts that exactly these problems are found. */
void fake_expect(const char *text, const char *problems);
/* A file whose tap has these option lines (each indented by six blanks) and which is fine else.
 * Caller frees. */
char *fake_file(const char *tap_options);
/* Loads fake_file, asserts that it is fine, and gives the spec and the tap's conf. */
struct mr_spec *fake_tap(const char *tap_options, const struct fake_source **ret);

#endif
