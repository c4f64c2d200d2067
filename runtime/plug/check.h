/* SPDX-License-Identifier: Apache-2.0 */
/* What a pipeline means, found out without I/O: which system columns its sources make, and the
 * columns and types between stages. Main thread. */
#ifndef MR_PLUG_CHECK_H
#define MR_PLUG_CHECK_H
#include "conf/spec.h"
#include "millrace/plugin.h"

/* The system columns that a source has to make: those that the stages downstream of it mention (in
 * `when`, expressions, and options that name columns), what the dead letters need, and what the
 * sources it is merged with make. For a lookup: those that the stages which ask it name.
 * NULL-terminated, in a fixed order; caller frees with g_strfreev. */
char **mr_check_wants(const struct mr_spec *spec, const struct mr_stage_spec *source);

/* Walks the stages in order: opens each plugin without I/O, asks for its columns, gives them to the
 * next; compiles every `when`; compares merged inputs; finds labelled columns that reach a sink.
 * Stages that are broken or whose columns only data can tell end the walk on their branch. spec may
 * be of mr_spec_read. */
struct mr_checked;
struct mr_checked *mr_checked_new(const struct mr_spec *spec, GPtrArray *problems);
void mr_checked_free(struct mr_checked *c);
/* The columns that a stage gives (a sink: takes), or NULL: not known. Lent. */
const struct ArrowSchema *mr_checked_schema(const struct mr_checked *c,
                                            const struct mr_stage_spec *st);
/* How the columns of two inputs of one stage differ, in words that name both. Caller frees. */
char *mr_check_difference(const char *a_name, const struct ArrowSchema *a, const char *b_name,
                          const struct ArrowSchema *b);
/* What plugins say of their columns ("privacy: email: hash"), in the order of stages: char *, lent.
 */
GPtrArray *mr_checked_lines(const struct mr_checked *c);

#endif
