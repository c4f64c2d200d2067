/* SPDX-License-Identifier: Apache-2.0 */
/* A cdc_raw directory in a temporary folder, with segments of our own. */
#ifndef FOLDER_H
#define FOLDER_H
#include <glib/gstdio.h>
#include <unistd.h>
#include "writer.h"

static inline char *folder_new(void)
{
  GError *err = NULL;
  char *folder = g_dir_make_tmp("millrace-cdc-XXXXXX", &err);
  g_assert_no_error(err);
  return folder;
}

static inline void folder_free(char *folder)
{
  GDir *dir = g_dir_open(folder, 0, NULL);
  for (const char *name; (name = g_dir_read_name(dir));) {
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_unlink(path);
  }
  g_dir_close(dir);
  g_assert_cmpint(g_rmdir(folder), ==, 0);
  g_free(folder);
}

static inline char *folder_log(const char *folder, int64_t id)
{
  return g_strdup_printf("%s/CommitLog-7-%lld.log", folder, (long long)id);
}
static inline char *folder_idx_path(const char *folder, int64_t id)
{
  return g_strdup_printf("%s/CommitLog-7-%lld_cdc.idx", folder, (long long)id);
}

/* A plain segment of n sections of one entry each; the entry's first byte is its number. */
static inline void folder_segment(const char *folder, int64_t id, int n)
{
  struct writer w = {.codec = CLOG_PLAIN};
  g_autofree char *path = folder_log(folder, id);
  writer_begin(&w, 7, id, "{}");
  for (int i = 0; i < n; i++) {
    uint8_t entry[16] = {(uint8_t)i};
    writer_entry(&w, entry, sizeof entry);
    writer_sync(&w);
  }
  writer_zeros(&w, 64);
  writer_save(path, w.out->data, w.out->len);
  writer_done(&w);
}

static inline void folder_idx(const char *folder, int64_t id, const char *text)
{
  g_autofree char *path = folder_idx_path(folder, id);
  g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static inline bool folder_has(const char *folder, int64_t id)
{
  g_autofree char *path = folder_log(folder, id);
  return g_file_test(path, G_FILE_TEST_EXISTS);
}

static inline void folder_drop(const char *folder, int64_t id)
{
  g_autofree char *path = folder_log(folder, id), *idx = folder_idx_path(folder, id);
  g_assert_cmpint(g_unlink(path), ==, 0);
  g_unlink(idx);
}

#endif
