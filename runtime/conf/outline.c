/* SPDX-License-Identifier: Apache-2.0 */
/* libcyaml's reading of the outer shape: sections and the entries' names, with everything inside an
 * entry ignored.
 *
 * It comes last and only over a file in which the walk found nothing, because libcyaml stops at its
 * first error, names the wrong line for an unknown key and turns `-5` into 18446744073709551615: it
 * cannot be the reader that users meet. What it is good for is a second opinion: if two readers see
 * different stages in one file, the file is refused instead of run. */
#include <cyaml/cyaml.h>
#include <string.h>
#include "conf/load.h"

struct outline_entry {
  char *name;
};
struct outline_list {
  struct outline_entry *entry;
  uint32_t n;
};
struct outline {
  char *name;
  struct outline_list lookups, sources, transforms, sinks;
};

static const cyaml_schema_field_t entry_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct outline_entry, name, 0,
                           CYAML_UNLIMITED),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t entry_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct outline_entry, entry_fields)};

#define LIST(field)                                                      \
  {                                                                      \
    .key = #field, .data_offset = offsetof(struct outline, field.entry), \
    .count_offset = offsetof(struct outline, field.n), .count_size = 4,  \
    .value = {.type = CYAML_SEQUENCE,                                    \
              .flags = CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL,    \
              .data_size = sizeof(struct outline_entry),                 \
              .sequence = {&entry_schema, 0, CYAML_UNLIMITED}},          \
  }
static const cyaml_schema_field_t outline_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct outline, name, 0, CYAML_UNLIMITED),
    LIST(lookups),
    LIST(sources),
    LIST(transforms),
    LIST(sinks),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t outline_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct outline, outline_fields)};
static const cyaml_config_t config = {
    .mem_fn = cyaml_mem,
    .flags = CYAML_CFG_NO_ALIAS | CYAML_CFG_IGNORE_UNKNOWN_KEYS,
};

/* Whether the stages from *at on are those of the list, in order. */
static bool same(const GPtrArray *stages, guint *at, const struct outline_list *list)
{
  for (uint32_t i = 0; i < list->n; i++) {
    if (*at >= stages->len)
      return false;
    const struct mr_stage_spec *st = g_ptr_array_index(stages, (*at)++);
    if (strcmp(st->name, list->entry[i].name))
      return false;
  }
  return true;
}

static bool agrees(const struct mr_spec *spec, const struct outline *s)
{
  guint stage = 0, lookup = 0;
  if (strcmp(spec->name, s->name) || !same(spec->lookups, &lookup, &s->lookups))
    return false;
  if (!same(spec->stages, &stage, &s->sources) || !same(spec->stages, &stage, &s->transforms))
    return false;
  return same(spec->stages, &stage, &s->sinks) && stage == spec->stages->len &&
         lookup == spec->lookups->len;
}

/* Names that came out of ${…} differ from the file's text by design. */
static bool names_expanded(const struct mr_ynode *n)
{
  const struct mr_ynode *name = mr_ynode_get(n, "name");
  if (name && name->expanded)
    return true;
  for (guint i = 0; i < mr_ynode_count(n); i++)
    if (names_expanded(mr_ynode_kid(n, i)))
      return true;
  return false;
}

void mr_outline_check(struct mr_load *l)
{
  struct outline *outline = NULL;
  const struct mr_mark_at start = {1, 1};
  if (names_expanded(l->own->root))
    return;
  cyaml_err_t err = cyaml_load_data((const uint8_t *)l->own->source, strlen(l->own->source),
                                    &config, &outline_schema, (cyaml_data_t **)&outline, NULL);
  if (err != CYAML_OK)
    mr_problem_add(l->problems, start, "/", "libcyaml cannot read the file: %s",
                   cyaml_strerror(err));
  else if (!agrees(l->spec, outline))
    mr_problem_add(l->problems, start, "/", "libcyaml sees other stages in this file");
  cyaml_free(&config, &outline_schema, outline, 0);
}
