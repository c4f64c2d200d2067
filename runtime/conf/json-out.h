/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON for people and tools: indented or in one line, commas and escapes taken care of. */
#ifndef MR_JSON_OUT_H
#define MR_JSON_OUT_H
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define MR_REAL_TEXT 40

struct mr_json_out {
  GString *text; /* owned by the caller */
  int depth;
  bool flat;  /* all in one line */
  bool first; /* nothing stands in the innermost bracket yet */
};
/* key NULL: an element of a list, or the document itself. bracket: '{' or '['; close takes the
 * same. */
void mr_json_out_open(struct mr_json_out *w, const char *key, char bracket);
void mr_json_out_close(struct mr_json_out *w, char bracket);
void mr_json_out_text(struct mr_json_out *w, const char *key,
                      const char *value); /* value NULL: null */
void mr_json_out_int(struct mr_json_out *w, const char *key, int64_t value);
/* A number, or other JSON, as it stands. */
void mr_json_out_raw(struct mr_json_out *w, const char *key, const char *json);
void mr_json_out_real(struct mr_json_out *w, const char *key, double value);
/* The shortest decimal text that reads back as value, which is finite; in buf, which it returns. */
char *mr_real_text(char buf[MR_REAL_TEXT], double value);
void mr_json_out_bool(struct mr_json_out *w, const char *key, bool value);

#endif
