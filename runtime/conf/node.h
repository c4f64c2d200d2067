/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML document as a tree whose every value and key knows its place: what conf reads, changes by
 * overrides and reports on. */
#ifndef MR_NODE_H
#define MR_NODE_H
#include "conf/spec.h"

#define MR_YAML_BYTES (1 << 20) /* largest pipeline file */
#define MR_YAML_DEPTH 16        /* nested mappings and lists */
#define MR_YAML_NODES 100000    /* values in a file */

enum mr_ynode_type { MR_NODE_SCALAR = 1, MR_NODE_LIST, MR_NODE_MAP };
enum mr_origin { MR_FROM_FILE, MR_FROM_ENV, MR_FROM_SET, MR_FROM_DEFAULT };
struct mr_ynode {
  enum mr_ynode_type type;
  enum mr_origin origin;
  bool broken;   /* a problem was reported here: say no more about it */
  bool bare;     /* a plain scalar without text: no value was given */
  bool flow;     /* stands inside [ ] or { } */
  bool secret;   /* holds what must not be shown */
  bool expanded; /* text is not what the file says */
  bool split;    /* collection: its last scalar opened a parenthesis that the comma cut off */
  char quote;    /* 0 plain, or one of ' " | > */
  struct mr_mark_at at, end, key_at;
  char *key;   /* in a mapping */
  char *text;  /* a scalar's */
  char *label; /* of an override: "--set out.table"; its path in messages */
  char *lacks; /* why its ${…} could not be replaced; said unless an override comes */
  struct mr_mark_at lacks_at;
  struct mr_ynode *parent; /* lent */
  GPtrArray *kids;         /* struct mr_ynode *, owned; NULL for scalars */
};

/* Parses one document. NULL: it is no YAML, or breaks a limit so that nothing can be said about the
 * rest; other breaches (aliases, tags, duplicate keys) are reported and leave broken nodes. Caller
 * frees with mr_ynode_free. */
struct mr_ynode *mr_yaml_parse(const char *text, size_t len, GPtrArray *problems);

struct mr_ynode *mr_ynode_new(enum mr_ynode_type type, struct mr_ynode *parent);
struct mr_ynode *mr_ynode_scalar(const char *text, struct mr_ynode *parent);
void mr_ynode_free(struct mr_ynode *n); /* takes NULL */
/* The value of a key of a mapping, or NULL (also when map is NULL or no mapping). Lent. */
struct mr_ynode *mr_ynode_get(const struct mr_ynode *map, const char *key);
struct mr_ynode *mr_ynode_kid(const struct mr_ynode *n, guint i);
guint mr_ynode_count(const struct mr_ynode *n); /* 0 for NULL and scalars */
/* Takes kid into a mapping under key, in the place of what was there; or at a list's end (key
 * NULL). */
void mr_ynode_put(struct mr_ynode *parent, const char *key, struct mr_ynode *take);
/* "/sources/trades/kafka/topics": list entries by their name when they have one, else by index.
 * Caller frees. */
char *mr_ynode_path(const struct mr_ynode *n);
/* The value as one line of flow YAML, as `check --print` shows it. Caller frees. */
char *mr_ynode_text(const struct mr_ynode *n);
/* Whether a problem was reported at the node or anywhere under it. */
bool mr_ynode_damaged(const struct mr_ynode *n);
/* Where line:column (1-based) of a scalar's text stands in the file; the value's start where that
 * cannot be told. */
struct mr_mark_at mr_ynode_locate(const struct mr_ynode *n, const char *source, int line,
                                  int column);
/* A comment follows the plain scalar on its line (` # …`), which may be meant as a part of it. */
bool mr_ynode_comment(const struct mr_ynode *n, const char *source);
/* Adds a problem at the node's value (mr_ynode_problem) or at its key; a broken node stays quiet
 * and the node becomes broken. */
void mr_ynode_problem(GPtrArray *problems, struct mr_ynode *n, const char *fmt, ...)
    MR_PRINTF(3, 4);
void mr_ynode_key_problem(GPtrArray *problems, struct mr_ynode *n, const char *fmt, ...)
    MR_PRINTF(3, 4);
/* The same, but the node may be reported on again. */
void mr_ynode_remark(GPtrArray *problems, const struct mr_ynode *n, const char *fmt, ...)
    MR_PRINTF(3, 4);

#endif
