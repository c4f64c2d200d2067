/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the loader share. Only files of conf include this. */
#ifndef MR_LOAD_H
#define MR_LOAD_H
#include "conf/node.h"
#include "conf/option.h"

/* What a spec keeps beside its public fields: the file, and the memory of every string, list and
 * struct in a conf. */
struct mr_spec_own {
  struct mr_ynode *root;
  char *source;
  GPtrArray *memory;  /* blocks for g_free */
  GPtrArray *schemas; /* struct ArrowSchema * */
  GPtrArray *secrets; /* char *, texts that must not be shown */
  GPtrArray *values;  /* struct mr_value * */
};
struct mr_override { /* --set or MILLRACE_SET_… */
  char *label, *value;
  char **path; /* stage, option, … */
  enum mr_origin origin;
  bool used;
};
struct mr_load {
  struct mr_spec *spec;
  struct mr_spec_own *own;
  const struct mr_catalog *catalog;
  GPtrArray *problems;
  GPtrArray *overrides;    /* struct mr_override *, the weaker first */
  GPtrArray *lookup_names; /* char *, lent by the tree */
};

struct mr_spec_own *mr_own_new(const char *text, size_t len);
void mr_own_free(struct mr_spec_own *own);
void *mr_own_alloc(struct mr_spec_own *own, size_t size); /* zeroed; lives as long as the spec */
char *mr_own_dup(struct mr_spec_own *own, const char *text);
void mr_own_value(struct mr_spec_own *own, const char *path, const struct mr_ynode *n, bool secret);

/* secret.c */
void mr_secret_add(struct mr_spec_own *own, const char *text);
void mr_secret_find(struct mr_spec_own *own,
                    const char *text); /* passwords inside URLs and connection strings */
char *mr_secret_redact(const struct mr_spec_own *own, const char *text);

/* expand.c: ${…} in every value of the tree, in place. What cannot be replaced is noted at its
 * node, which becomes broken. */
void mr_expand_tree(struct mr_load *l, struct mr_ynode *n);
/* Reports what could not be replaced and is still in the tree: no override has put a value there.
 */
void mr_expand_report(struct mr_load *l, const struct mr_ynode *n);

/* override.c */
GPtrArray *mr_overrides_read(struct mr_load *l, const char *const *set);
/* Puts what is meant for `target` into entry, when its option is one of table; else into options,
 * along their table (both may be NULL: then the overrides only count as used). */
void mr_overrides_apply(struct mr_load *l, const char *target, struct mr_ynode *entry,
                        const struct mr_opt *table, struct mr_ynode *options,
                        const struct mr_opt *options_table, size_t stride);
void mr_overrides_unused(struct mr_load *l);

/* stage.c: the entries of a section; dead_letter. */
void mr_entries_read(struct mr_load *l, struct mr_ynode *section, enum mr_stage_kind kind);
void mr_dead_letter_read(struct mr_load *l, struct mr_ynode *section);
void mr_entry_free(struct mr_stage_spec *st);
extern const struct mr_opt mr_settings_options[], mr_dead_letter_options[];
/* The keys that an entry of that kind may have beside `name` and its plugin. */
const struct mr_opt *mr_entry_options(enum mr_stage_kind kind);

/* graph.c: inputs, cycles, what is unused. */
void mr_graph_resolve(struct mr_load *l);

/* outline.c: libcyaml's reading of the outer shape must be ours. */
void mr_outline_check(struct mr_load *l);

#endif
