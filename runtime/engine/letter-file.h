/* SPDX-License-Identifier: Apache-2.0 */
/* A file of dead letters, as letters.c writes it through a file sink: JSON lines of kinds `letter`
 * and `mark`. */
#ifndef MR_LETTER_FILE_H
#define MR_LETTER_FILE_H
#include <glib.h>
#include "base/base.h"

struct mr_letter_entry {
  int64_t line;                      /* 1-based */
  char *stage, *source, *lane, *row; /* row: a JSON object. NULL where the letter does not say */
  char *change;                      /* what the row means: a JSON object, or NULL */
  uint64_t run;
  bool has_position;
  struct mr_position position;
  int64_t element;  /* index of the row in its message; -1: the whole message */
  GBytes *original; /* the message as it came, or NULL */
};
struct mr_letter_file {
  char id[17];        /* from its first line: stays when letters are added or it is moved */
  GPtrArray *letters; /* struct mr_letter_entry *, in the file's order */
  GHashTable *marks;
  int64_t bad_lines, first_bad; /* lines that are no letter (a torn last one): number, first */
};

/* Reads a file whole. NULL with err. Caller frees. */
struct mr_letter_file *mr_letter_file_read(const char *path, struct mr_error *err);
void mr_letter_file_free(struct mr_letter_file *f); /* takes NULL */
/* Does a letter count for a sink: has the sink committed past its row, in the run that wrote it? */
bool mr_letter_file_counts(const struct mr_letter_file *f, const struct mr_letter_entry *l,
                           const char *sink);

#endif
