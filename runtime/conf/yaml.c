/* SPDX-License-Identifier: Apache-2.0 */
/* The event walk: libyaml's events become a tree that knows where everything stands. Aliases are
 * never followed, so a small file cannot become a large tree. */
#include "conf/node.h"
#include <string.h>
#include <yaml.h>

struct walk {
  yaml_parser_t parser;
  const char *text;
  size_t len;
  GPtrArray *problems;
  int nodes;
  bool ended; /* the walk cannot go on; the reason was reported */
};

static struct mr_mark_at at_of(yaml_mark_t m)
{
  return (struct mr_mark_at){(int)m.line + 1, (int)m.column + 1};
}

/* The place of a byte offset: for errors of libyaml's reader, which have no mark. */
static struct mr_mark_at at_offset(const char *text, size_t len, size_t offset)
{
  struct mr_mark_at at = {1, 1};
  for (size_t i = 0; i < offset && i < len; i++) {
    if (text[i] == '\n')
      at = (struct mr_mark_at){at.line + 1, 1};
    else if ((text[i] & 0xc0) != 0x80)
      at.column++;
  }
  return at;
}

static const char *line_at(const struct walk *w, int line)
{
  const char *c = w->text, *end = w->text + w->len;
  for (int l = 1; l < line && c < end; l++) {
    const char *nl = memchr(c, '\n', (size_t)(end - c));
    c = nl ? nl + 1 : end;
  }
  return c;
}

/* `${` stands unquoted inside [ ] or { } on this line: YAML reads its brace as a mapping. */
static bool variable_in_flow(const struct walk *w, int line)
{
  const char *c = line_at(w, line), *end = w->text + w->len;
  int depth = 0;
  char quote = 0;
  for (; c < end && *c != '\n'; c++) {
    if (quote) {
      if (*c == quote)
        quote = 0;
      continue;
    }
    if (*c == '"' || *c == '\'')
      quote = *c;
    if (depth && c[0] == '$' && c + 1 < end && c[1] == '{')
      return true;
    if (*c == '[' || *c == '{')
      depth++;
    if (*c == ']' || *c == '}')
      depth--;
  }
  return false;
}

static char char_at(const struct walk *w, struct mr_mark_at at)
{
  const char *c = line_at(w, at.line), *end = w->text + w->len;
  for (int i = 1; i < at.column && c < end && *c != '\n'; i++)
    c = g_utf8_next_char(c);
  return c < end ? *c : '\0';
}

static const char *advice(const struct walk *w, struct mr_mark_at at)
{
  const yaml_parser_t *p = &w->parser;
  char c = char_at(w, at);
  if (variable_in_flow(w, at.line) || variable_in_flow(w, (int)p->context_mark.line + 1))
    return "; inside [ ] and { } a value with ${…} needs quotes: \"${…}\"";
  if (!strcmp(p->problem, "found character that cannot start any token"))
    return c == '\t' ? "; indent with blanks, not with tabs" : "; put the value in quotes";
  if (strstr(p->problem, "mapping values are not allowed"))
    return "; a value that holds `: ` needs quotes";
  if (p->context && (strstr(p->context, "an alias") || strstr(p->context, "an anchor")))
    return "; a value that begins with * or & needs quotes";
  return "";
}

static void report_syntax(struct walk *w)
{
  yaml_parser_t *p = &w->parser;
  w->ended = true;
  if (p->error == YAML_READER_ERROR) {
    mr_problem_add(w->problems, at_offset(w->text, w->len, p->problem_offset), "/",
                   "%s: the file must be UTF-8 text", p->problem);
    return;
  }
  struct mr_mark_at at = at_of(p->problem_mark);
  const char *problem = p->problem ? p->problem : "out of memory";
  g_autofree char *context = p->context ? g_strdup_printf(" %s (which begins at line %d)",
                                                          p->context, (int)p->context_mark.line + 1)
                                        : NULL;
  mr_problem_add(w->problems, at, "/", "no YAML%s: %s%s", context ? context : "", problem,
                 p->problem ? advice(w, at) : "");
}

static bool next_event(struct walk *w, yaml_event_t *ret)
{
  if (w->ended)
    return false;
  if (yaml_parser_parse(&w->parser, ret))
    return true;
  report_syntax(w);
  return false;
}

/* More ( than ) gives 1, fewer -1; what SQL quotes is not counted. */
static int unbalanced(const char *text)
{
  int depth = 0;
  for (const char *c = text; *c; c++) {
    if (*c == '\'' || *c == '"') {
      const char *end = strchr(c + 1, *c);
      if (end)
        c = end;
    } else if (*c == '(') {
      depth++;
    } else if (*c == ')' && --depth < 0) {
      return -1;
    }
  }
  return depth > 0;
}

/* `[a decimal(18,4)]` is two items to YAML: the one that opens is reported, the one that closes
 * keeps quiet. */
static void check_parentheses(struct walk *w, struct mr_ynode *n, const char *text)
{
  int side = unbalanced(text);
  bool tail = side < 0 && n->parent && n->parent->split;
  if (n->parent)
    n->parent->split = side > 0 && n->flow;
  if (!side)
    return;
  if (tail)
    n->broken = true;
  mr_ynode_problem(w->problems, n, "`%s` has unbalanced parentheses%s: put the value in quotes",
                   text, n->flow ? " (inside [ ] and { } a comma ends it)" : "");
}

static void refuse_extras(struct walk *w, struct mr_ynode *n, const yaml_char_t *anchor,
                          const yaml_char_t *tag)
{
  if (anchor)
    mr_ynode_problem(w->problems, n,
                     "anchors (&%s) are not allowed: write the value out, or put it in quotes",
                     anchor);
  if (tag)
    mr_ynode_problem(w->problems, n,
                     "tags (%s) are not allowed: put the value in quotes if it begins with !", tag);
}

static char quote_of(yaml_scalar_style_t style)
{
  switch (style) {
  case YAML_SINGLE_QUOTED_SCALAR_STYLE: return '\'';
  case YAML_DOUBLE_QUOTED_SCALAR_STYLE: return '"';
  case YAML_LITERAL_SCALAR_STYLE: return '|';
  case YAML_FOLDED_SCALAR_STYLE: return '>';
  default: return 0;
  }
}

static void fill_scalar(struct walk *w, struct mr_ynode *n, yaml_event_t *ev)
{
  const char *value = (const char *)ev->data.scalar.value;
  n->text = g_strdup(value);
  n->quote = quote_of(ev->data.scalar.style);
  n->bare = !n->quote && !value[0];
  refuse_extras(w, n, ev->data.scalar.anchor, ev->data.scalar.tag);
  if (strlen(value) != ev->data.scalar.length)
    mr_ynode_problem(w->problems, n, "a value cannot hold a NUL character");
  if (!n->quote)
    check_parentheses(w, n, value);
}

static bool parse_node(struct walk *w, yaml_event_t *take, struct mr_ynode *n, int depth);

static struct mr_ynode *new_kid(struct walk *w, struct mr_ynode *parent, const yaml_event_t *ev)
{
  enum mr_ynode_type type = ev->type == YAML_MAPPING_START_EVENT    ? MR_NODE_MAP
                            : ev->type == YAML_SEQUENCE_START_EVENT ? MR_NODE_LIST
                                                                    : MR_NODE_SCALAR;
  struct mr_ynode *n = mr_ynode_new(type, parent);
  n->at = at_of(ev->start_mark);
  n->end = at_of(ev->end_mark);
  bool flow = (type == MR_NODE_MAP && ev->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE) ||
              (type == MR_NODE_LIST && ev->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
  n->flow = flow || (parent && parent->flow);
  if (++w->nodes > MR_YAML_NODES) {
    mr_ynode_problem(w->problems, n, "more than %d values in a file", MR_YAML_NODES);
    w->ended = true;
  }
  return n;
}

static bool parse_list(struct walk *w, struct mr_ynode *list, int depth)
{
  yaml_event_t ev;
  while (next_event(w, &ev)) {
    if (ev.type == YAML_SEQUENCE_END_EVENT) {
      yaml_event_delete(&ev);
      return true;
    }
    struct mr_ynode *kid = new_kid(w, list, &ev);
    g_ptr_array_add(list->kids, kid);
    if (!parse_node(w, &ev, kid, depth))
      return false;
  }
  return false;
}

/* Takes the key's event and reads the value that belongs to it. */
static bool parse_pair(struct walk *w, struct mr_ynode *map, yaml_event_t *take, GHashTable *seen,
                       int depth)
{
  struct mr_mark_at key_at = at_of(take->start_mark);
  if (take->type != YAML_SCALAR_EVENT) {
    const char *what =
        take->type == YAML_ALIAS_EVENT ? "a key cannot be an alias" : "a key must be a plain name";
    g_autofree char *path = mr_ynode_path(map);
    mr_problem_add(w->problems, key_at, path, "%s; a value with { needs quotes", what);
    yaml_event_delete(take);
    w->ended = true;
    return false;
  }
  g_autofree char *key = g_strdup((const char *)take->data.scalar.value);
  bool plain = take->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  bool odd = take->data.scalar.anchor || take->data.scalar.tag;
  yaml_event_delete(take);
  yaml_event_t ev;
  if (!next_event(w, &ev))
    return false;
  struct mr_ynode *kid = new_kid(w, map, &ev);
  kid->key = g_steal_pointer(&key);
  kid->key_at = key_at;
  struct mr_ynode *first = g_hash_table_lookup(seen, kid->key);
  g_ptr_array_add(map->kids, kid);
  if (odd)
    mr_ynode_key_problem(w->problems, kid, "a key cannot have an anchor or a tag");
  if (!strcmp(kid->key, "<<"))
    mr_ynode_key_problem(w->problems, kid, "merge keys are not allowed: write the entries out");
  if (first)
    mr_ynode_key_problem(w->problems, kid, "`%s` is here twice: it stands in line %d already",
                         kid->key, first->key_at.line);
  else
    g_hash_table_insert(seen, kid->key, kid);
  if (strstr(kid->key, "${"))
    mr_ynode_key_problem(w->problems, kid, "${…} is replaced in values only, not in names");
  if (plain && unbalanced(kid->key)) {
    bool tail = map->split && unbalanced(kid->key) < 0;
    map->split = false;
    if (tail)
      kid->broken = true;
    mr_ynode_key_problem(w->problems, kid, "`%s` has unbalanced parentheses: put it in quotes",
                         kid->key);
  }
  return parse_node(w, &ev, kid, depth);
}

static bool parse_map(struct walk *w, struct mr_ynode *map, int depth)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  yaml_event_t ev;
  while (next_event(w, &ev)) {
    if (ev.type == YAML_MAPPING_END_EVENT) {
      yaml_event_delete(&ev);
      return true;
    }
    if (!parse_pair(w, map, &ev, seen, depth))
      return false;
  }
  return false;
}

/* Takes the node's first event; n is the shell made for it. */
static bool parse_node(struct walk *w, yaml_event_t *take, struct mr_ynode *n, int depth)
{
  yaml_event_type_t type = take->type;
  if (type == YAML_SCALAR_EVENT) {
    fill_scalar(w, n, take);
  } else if (type == YAML_ALIAS_EVENT) {
    n->text = g_strdup("");
    mr_ynode_problem(
        w->problems, n,
        "aliases (*%s) are not allowed: write the value out, or put it in quotes if it "
        "begins with *",
        take->data.alias.anchor);
  } else if (type == YAML_MAPPING_START_EVENT) {
    refuse_extras(w, n, take->data.mapping_start.anchor, take->data.mapping_start.tag);
  } else {
    refuse_extras(w, n, take->data.sequence_start.anchor, take->data.sequence_start.tag);
  }
  yaml_event_delete(take);
  if (w->ended)
    return false;
  if (n->type == MR_NODE_SCALAR)
    return true;
  if (depth >= MR_YAML_DEPTH) {
    mr_ynode_problem(w->problems, n, "nested deeper than %d levels", MR_YAML_DEPTH);
    w->ended = true;
    return false;
  }
  return n->type == MR_NODE_MAP ? parse_map(w, n, depth + 1) : parse_list(w, n, depth + 1);
}

/* Skips the stream's and the document's start; false: the file holds no document, or no YAML. */
static bool begin(struct walk *w, yaml_event_t *ret)
{
  for (;;) {
    if (!next_event(w, ret))
      return false;
    if (ret->type == YAML_STREAM_END_EVENT)
      break;
    if (ret->type != YAML_STREAM_START_EVENT && ret->type != YAML_DOCUMENT_START_EVENT)
      return true;
    yaml_event_delete(ret);
  }
  yaml_event_delete(ret);
  mr_problem_add(w->problems, (struct mr_mark_at){1, 1}, "/", "the file is empty");
  return false;
}

static void refuse_second(struct walk *w)
{
  yaml_event_t ev;
  for (bool end = false; !end && next_event(w, &ev);) {
    end = ev.type != YAML_DOCUMENT_END_EVENT;
    if (ev.type == YAML_DOCUMENT_START_EVENT)
      mr_problem_add(w->problems, at_of(ev.start_mark), "/",
                     "a second document begins here: a file holds one pipeline");
    yaml_event_delete(&ev);
  }
}

static struct mr_ynode *parse_document(struct walk *w)
{
  yaml_event_t ev;
  if (!begin(w, &ev))
    return NULL;
  struct mr_ynode *root = new_kid(w, NULL, &ev);
  bool ok = parse_node(w, &ev, root, 0);
  if (ok)
    refuse_second(w);
  if (ok && !w->ended)
    return root;
  mr_ynode_free(root);
  return NULL;
}

struct mr_ynode *mr_yaml_parse(const char *text, size_t len, GPtrArray *problems)
{
  struct walk w = {.text = text, .len = len, .problems = problems};
  struct mr_mark_at start = {1, 1};
  if (len > MR_YAML_BYTES) {
    mr_problem_add(problems, start, "/", "the file has %zu bytes, more than %d", len,
                   MR_YAML_BYTES);
    return NULL;
  }
  if (!yaml_parser_initialize(&w.parser))
    g_error("out of memory");
  yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&w.parser, (const unsigned char *)text, len);
  struct mr_ynode *root = parse_document(&w);
  yaml_parser_delete(&w.parser);
  return root;
}
