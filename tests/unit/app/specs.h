/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines made by hand, for tests of what works on a spec. */
#ifndef MR_TEST_SPECS_H
#define MR_TEST_SPECS_H
#include "conf/spec.h"

static inline struct mr_spec *specs_new(void)
{
  struct mr_spec *s = g_new0(struct mr_spec, 1);
  s->name = (char *)"test";
  s->stages = g_ptr_array_new();
  s->lookups = g_ptr_array_new();
  s->settings = (struct mr_settings){.checkpoint_ms = 1000,
                                     .checkpoint_bytes = 64 << 20,
                                     .batch_rows = 8192,
                                     .batch_bytes = 1 << 20,
                                     .memory = 256 << 20,
                                     .shutdown_ms = 30000};
  return s;
}

/* inputs: names with spaces between, or NULL. */
static inline struct mr_stage_spec *specs_add(struct mr_spec *s, enum mr_stage_kind kind,
                                              const char *name, const struct mr_plugin *plugin,
                                              void *conf, const char *inputs, const char *when)
{
  struct mr_stage_spec *st = g_new0(struct mr_stage_spec, 1);
  st->kind = kind;
  st->name = (char *)name;
  st->plugin = plugin;
  st->conf = conf;
  st->input = inputs ? g_strsplit(inputs, " ", -1) : NULL;
  st->when = (char *)when;
  st->parallel = 1;
  g_ptr_array_add(s->stages, st);
  return st;
}

static inline void specs_free(struct mr_spec *s)
{
  for (guint i = 0; i < s->stages->len; i++) {
    struct mr_stage_spec *st = s->stages->pdata[i];
    g_strfreev(st->input);
    g_free(st);
  }
  g_ptr_array_unref(s->stages);
  g_ptr_array_unref(s->lookups);
  g_free(s);
}

#endif
