/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/json-out.h"

static void put_string(GString *out, const char *s)
{
  g_string_append_c(out, '"');
  for (const unsigned char *c = (const unsigned char *)s; *c; c++) {
    if (*c == '"' || *c == '\\')
      g_string_append_printf(out, "\\%c", *c);
    else if (*c < 0x20)
      g_string_append_printf(out, "\\u%04x", *c);
    else
      g_string_append_c(out, (char)*c);
  }
  g_string_append_c(out, '"');
}

/* A new line, or a place in the same. */
static void move_on(struct mr_json_out *w)
{
  if (!w->flat)
    g_string_append_c(w->text, '\n');
  for (int i = 0; i < w->depth && !w->flat; i++)
    g_string_append(w->text, "  ");
}

static void begin(struct mr_json_out *w, const char *key)
{
  if (w->depth && !w->first)
    g_string_append(w->text, w->flat ? ", " : ",");
  if (w->depth)
    move_on(w);
  w->first = false;
  if (!key)
    return;
  put_string(w->text, key);
  g_string_append(w->text, ": ");
}

void mr_json_out_open(struct mr_json_out *w, const char *key, char bracket)
{
  begin(w, key);
  g_string_append_c(w->text, bracket);
  w->depth++;
  w->first = true;
}

void mr_json_out_close(struct mr_json_out *w, char bracket)
{
  w->depth--;
  if (!w->first)
    move_on(w);
  g_string_append_c(w->text, bracket == '{' ? '}' : ']');
  if (!w->depth)
    g_string_append_c(w->text, '\n');
  w->first = false;
}

void mr_json_out_text(struct mr_json_out *w, const char *key, const char *value)
{
  begin(w, key);
  if (value)
    put_string(w->text, value);
  else
    g_string_append(w->text, "null");
}

void mr_json_out_int(struct mr_json_out *w, const char *key, int64_t value)
{
  begin(w, key);
  g_string_append_printf(w->text, "%" G_GINT64_FORMAT, value);
}

char *mr_real_text(char buf[MR_REAL_TEXT], double value)
{
  static const char *const formats[] = {"%.6g", "%.15g", "%.16g", "%.17g"};
  for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
    g_ascii_formatd(buf, MR_REAL_TEXT, formats[i], value);
    if (g_ascii_strtod(buf, NULL) == value)
      break;
  }
  return buf;
}

void mr_json_out_raw(struct mr_json_out *w, const char *key, const char *json)
{
  begin(w, key);
  g_string_append(w->text, json);
}

void mr_json_out_real(struct mr_json_out *w, const char *key, double value)
{
  char buf[MR_REAL_TEXT];
  begin(w, key);
  g_string_append(w->text, mr_real_text(buf, value));
}

void mr_json_out_bool(struct mr_json_out *w, const char *key, bool value)
{
  begin(w, key);
  g_string_append(w->text, value ? "true" : "false");
}
