/* SPDX-License-Identifier: Apache-2.0 */
/* What a lookup has read, on disk: rows together with the position that they reach, so that a load
 * that was broken off goes on there.
 *
 * One file for each lookup, in the state folder, mode 0600. It begins with a header (whose rows
 * these are, which columns) and goes on with records, each with its length and checksum: rows of
 * one lane and the position behind them, or "the load is complete". Rows and position are in one
 * record, so that any prefix of the file is a true state; a torn record at the end is cut off.
 * Nothing is synced: what a power cut takes is read again from the source. One thread. */
#ifndef MR_LOOKUP_JOURNAL_H
#define MR_LOOKUP_JOURNAL_H
#include "base/base.h"
#include "millrace/build.h"

struct mr_journal;

/* The journal of lookup `name` in dir; no I/O. fingerprint: text that changes with the lookup's
 * options. NULL: no memory. */
struct mr_journal *mr_journal_new(const char *dir, const char *name, const char *fingerprint);
void mr_journal_free(struct mr_journal *j); /* closes; the file stays. Takes NULL */

/* lane: whose position; upto: behind the rows; rows: a struct of `columns`; deleted: a bit for each
 * row, or NULL. All lent. */
typedef int mr_journal_rows_fn(void *out, const char *lane, const struct mr_position *upto,
                               const struct ArrowSchema *columns, const struct ArrowArray *rows,
                               const uint8_t *deleted, struct mr_error *err);
struct mr_journal_state {
  bool loaded;        /* the load had been completed */
  int64_t started_us; /* wall clock at its beginning */
};
/* Reads the file and leaves it open behind its last whole record. need: columns that must be in it,
 * of these types; from: the source's columns, which must still have all that the file has. MR_IDLE:
 * there is no such file, or it is of something else: begin anew. */
int mr_journal_resume(struct mr_journal *j, const struct ArrowSchema *need,
                      const struct ArrowSchema *from, mr_journal_rows_fn *each, void *out,
                      struct mr_journal_state *ret, struct mr_error *err);
/* Begins an empty file for these columns; the old one stays until mr_journal_switch, or is cut at
 * once when there is none to keep. */
int mr_journal_begin(struct mr_journal *j, const struct ArrowSchema *columns, int64_t now_us,
                     bool aside, struct mr_error *err);
/* The file that was begun aside takes the old one's place. */
int mr_journal_switch(struct mr_journal *j, struct mr_error *err);
/* Appends elements row[0..n) (or 0..n when row is NULL) of the views in s's order; the file's
 * columns are picked by name. */
int mr_journal_rows(struct mr_journal *j, const char *lane, const struct mr_position *upto,
                    const struct ArrowSchema *s, const struct mr_view *column, const int64_t *row,
                    int64_t n, const uint8_t *deleted, struct mr_error *err);
int mr_journal_loaded(struct mr_journal *j, struct mr_error *err); /* appends "complete" */
void mr_journal_drop(struct mr_journal *j);                        /* removes the file */
bool mr_journal_is_open(const struct mr_journal *j);
int64_t mr_journal_bytes(const struct mr_journal *j);

#endif
