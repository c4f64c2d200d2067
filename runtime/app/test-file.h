/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `millrace test` share. Main thread. */
#ifndef MR_TEST_FILE_H
#define MR_TEST_FILE_H
#include "app/app.h"
#include "app/rows.h"
#include "conf/node.h"

/* A test file being run. */
struct mr_test_file {
  const char *path;
  struct mr_ynode *root;
  GPtrArray *problems; /* of the test file; with any, nothing counts */
  guint reported;      /* how many of them belong to tests that have ended */
  int number, failed;  /* tests so far */
  GString *notes;      /* of the test that runs: lines without `# `; it failed when there are any */
};
/* Adds a line to the notes of the test that runs: it fails. */
void mr_test_note(struct mr_test_file *t, const char *fmt, ...) MR_PRINTF(2, 3);
/* Ends a test: its TAP line, then its notes. */
void mr_test_end(struct mr_test_file *t, const char *name);
/* Reports keys of a mapping that are not among known (NULL-terminated), and what is no mapping. */
bool mr_test_keys(struct mr_test_file *t, struct mr_ynode *map, const char *const *known);
/* A value's text, or NULL: it is not there, or no text (reported). */
const char *mr_test_text(struct mr_test_file *t, struct mr_ynode *map, const char *key);

/* test-expr.c: the section `expr`, a test for each entry. */
void mr_test_expr(struct mr_test_file *t, struct mr_ynode *list);
/* test-pipeline.c: the section `tests`, a test for each entry, of the pipeline file's stages. */
void mr_test_pipeline(struct mr_test_file *t, struct mr_app_file *f, struct mr_ynode *list);

#endif
