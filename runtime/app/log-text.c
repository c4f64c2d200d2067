/* SPDX-License-Identifier: Apache-2.0 */
#include "app/log-text.h"
#include "app/app.h"
#include "conf/json-out.h"
#include "millrace/plugin.h"

static const char *level_name(int level)
{
  static const char *const names[] = {"debug", "info", "warning", "error"};
  return names[CLAMP(level, MR_DEBUG, MR_LOG_ERROR)];
}

/* What it is about, in the order of both forms. */
static const char *const *fields_of(const struct mr_log_event *e, const char *value[8])
{
  static const char *const names[] = {"event", "source",   "lane", "from",
                                      "upto",  "position", "row",  "unit"};
  const char *const all[] = {e->event, e->source,   e->lane, e->from,
                             e->upto,  e->position, e->row,  e->unit};
  for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
    value[i] = all[i] && *all[i] ? all[i] : NULL;
  return names;
}

static char *time_text(int64_t wall_us, const char *format)
{
  g_autoptr(GDateTime) at = g_date_time_new_from_unix_utc(wall_us / G_USEC_PER_SEC);
  return g_date_time_format(at, format);
}

static char *json_line(const struct mr_spec *spec, const struct mr_log_event *e, const char *text,
                       int64_t wall_us)
{
  struct mr_json_out w = {.text = g_string_new(NULL), .flat = true};
  const char *value[8];
  const char *const *name = fields_of(e, value);
  g_autofree char *seconds = time_text(wall_us, "%Y-%m-%dT%H:%M:%S"),
                  *time = g_strdup_printf("%s.%06dZ", seconds, (int)(wall_us % G_USEC_PER_SEC));
  mr_json_out_open(&w, NULL, '{');
  mr_json_out_text(&w, "time", time);
  mr_json_out_text(&w, "level", level_name(e->level));
  mr_json_out_text(&w, "pipeline", spec->name);
  if (e->stage)
    mr_json_out_text(&w, "stage", e->stage);
  if (e->kind)
    mr_json_out_text(&w, "kind", mr_app_kind(e->kind));
  for (int i = 0; i < 8; i++)
    if (value[i])
      mr_json_out_text(&w, name[i], value[i]);
  if (e->rows >= 0)
    mr_json_out_int(&w, "rows", e->rows);
  if (text)
    mr_json_out_text(&w, "message", text);
  mr_json_out_close(&w, '{');
  return g_string_free(w.text, FALSE);
}

/* A message stands for itself; an event is its fields. */
static char *text_line(const struct mr_log_event *e, const char *text, int64_t wall_us)
{
  g_autofree char *time = time_text(wall_us, "%H:%M:%S");
  const char *value[8];
  const char *const *name = fields_of(e, value);
  GString *out = g_string_new(NULL);
  g_string_append_printf(out, "%s %s%s%s", time, e->level >= MR_WARN ? "warning: " : "",
                         e->stage ? e->stage : "", e->stage ? ": " : "");
  bool alone = text && (!e->event || !e->row);
  for (int i = 0; !alone && i < 8; i++)
    if (value[i])
      g_string_append_printf(out, i ? "%s=%s " : "%.0s%s ", name[i], value[i]);
  if (!alone && e->rows >= 0)
    g_string_append_printf(out, "rows=%" G_GINT64_FORMAT " ", e->rows);
  g_string_append(out, text ? text : "");
  while (out->len && out->str[out->len - 1] == ' ')
    g_string_truncate(out, out->len - 1);
  g_string_append_c(out, '\n');
  return g_string_free(out, FALSE);
}

char *mr_log_text(const struct mr_spec *spec, const struct mr_log_event *e, int64_t wall_us)
{
  g_autofree char *safe = e->text ? mr_spec_redact(spec, e->text) : NULL,
                  *text = safe ? g_utf8_make_valid(safe, -1) : NULL;
  return spec->settings.log_format == MR_LOG_JSON ? json_line(spec, e, text, wall_us)
                                                  : text_line(e, text, wall_us);
}
