/* SPDX-License-Identifier: Apache-2.0 */
/* The file source: what its files share. Everything is called on the stage's thread.
 *
 *   input.c  one file: opening, lines, rotation, finding the place where an earlier run stopped
 *   read.c   lines -> rows
 *   file.c   options and the plugin object
 *
 * One lane is one path. A position is 16 bytes: the generation of the path in the upper 16 bits of
 * a 64-bit number, the byte offset in the lower 48, and the inode. A generation ends when the path
 * is rotated, replaced or cut short; so positions only grow. */
#ifndef FILE_H
#define FILE_H
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>
#include "common/src-error.h"
#include "common/src-system.h"
#include "millrace/plugin.h"

#define FILE_OFFSET_BITS 48
#define FILE_BUFFER (256 << 10)
#define FILE_POLL_MS 50        /* follow: how often files are looked at */
#define FILE_GLOB_MS 1000      /* follow: how often new files are looked for */
#define FILE_GRACE_MS 1000     /* follow: how long a rotated file may still grow */
#define FILE_REJECT_BYTES 4096 /* of a line that is too long, for its dead letter */
#define FILE_MORE (-100) /* a status inside: the record goes on in bytes that are not there yet */

enum file_mode { FILE_WHOLE, FILE_FOLLOW };
enum file_start { FILE_EARLIEST, FILE_LATEST };
enum file_on_gap { FILE_GAP_FAIL, FILE_GAP_CONTINUE };

struct file_conf {
  const char *path;
  const struct mr_format *format;
  int32_t mode, start, on_gap;
  int64_t max_line;
};
enum file_line {
  FILE_LINE,     /* a line, without its end */
  FILE_WAIT,     /* nothing whole is there now */
  FILE_END,      /* nothing will come any more in this generation */
  FILE_TOO_LONG, /* the beginning of a line longer than max_line; the rest is passed over */
  FILE_FAILED,   /* err is filled */
};
struct file_input {
  char *path; /* the lane's name */
  uint32_t lane;
  bool placed, ended, final, skipping,
      probed; /* final: what remains is a line even without a line end */
  uint64_t generation, at, inode, cut,
      end;                  /* at: offset of buf[from]. cut, end: as the number of a position */
  struct timespec modified; /* of the file that is open */
  int fd;
  gzFile gz;
  char *buf;
  size_t cap, from, to, scanned; /* unread bytes [from, to); of these `scanned` hold no line end */
  int64_t rotated_ms;            /* when another file was first seen under the path; 0: not yet */
  struct mr_decoder *own;        /* of a format with a header line; NULL: the source's */
};
struct file {
  const struct mr_host *host;
  const struct file_conf *conf;
  uint32_t instance, instances;
  bool bounded;
  struct src_system system;
  struct mr_decoder *decoder; /* of all files without a header line */
  struct file_input **input;
  size_t n_input, next;
  int64_t globbed_ms;

  struct file_input *open;    /* the batch under construction */
  struct mr_decoder *current; /* whose columns schema() answers */
  int64_t rows, bytes;
  bool hungry;
};

static inline uint64_t file_number(const struct file_input *in)
{
  return in->generation << FILE_OFFSET_BITS | in->at;
}
struct mr_position file_position(const struct file_input *in, uint64_t number);
struct file_input *file_input_new(const char *path);
void file_input_free(struct file *f, struct file_input *in);
/* Opens the path at offset 0. MR_IDLE: it is not there. */
int file_input_open(struct file *f, struct file_input *in, struct mr_error *err);
void file_input_close(struct file *f, struct file_input *in);
/* Goes to a position: the same file wherever it was moved to, else by on_gap. MR_IDLE: the path is
 * not there (yet). */
int file_input_seek(struct file *f, struct file_input *in, const struct mr_position *to,
                    struct mr_error *err);
/* The next line, from byte `skip` of the unread ones on; its end is not counted in *ret_len, but in
 * *ret_next, both from there. Lent until the next call. */
enum file_line file_input_line(struct file *f, struct file_input *in, size_t skip, const char **ret,
                               size_t *ret_len, size_t *ret_next, struct mr_error *err);
/* Everything unread, when it is no more than max_line bytes. false: more, or an error. */
bool file_input_all(struct file *f, struct file_input *in, const char **ret, size_t *ret_len);
void file_input_take(struct file_input *in, size_t n);
/* follow, at FILE_WAIT: whether the path was rotated or cut short; then moves on to the next
 * generation. true: there is more. */
bool file_input_turn(struct file *f, struct file_input *in, int *ret_status, struct mr_error *err);

/* read.c */
int file_schema(void *self, struct ArrowSchema *give, struct mr_error *err);
int file_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
              struct mr_batch *give, struct mr_error *err);
void file_forget_open(struct file *f);
/* At offset 0: whether the file begins with a header line. Then the decoder that took it stays with
 * the file, since the header names its columns, and the header is passed over. MR_IDLE: the line is
 * not there yet. */
int file_probe(struct file *f, struct file_input *in, struct mr_error *err);
/* Finds the files, names their lanes and goes to their positions. */
int file_find(struct file *f, struct mr_error *err);

#endif
