/* SPDX-License-Identifier: Apache-2.0 */
/* millrace inspect [PLUGIN] [--json]; inspect --commitlog FILE… */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "app/app.h"
#include "app/types.h"
#include "conf/json-out.h"
#include "conf/option.h"
#include "conf/suggest.h"

struct inspected {
  const struct mr_found *found;
  const struct mr_plugin *plugin; /* NULL: refused */
  char *why;
};

static void inspected_free(void *p)
{
  struct inspected *x = p;
  g_free(x->why);
  g_free(x);
}

/* "kafka" means every kind that has one; "sinks/kafka" one of them. */
static bool is_meant(const struct mr_found *f, const char *name)
{
  g_autofree char *full = g_strdup_printf("%s/%s", f->kind, f->name);
  return !name[0] || !strcmp(name, f->name) || !strcmp(name, full);
}

static GPtrArray *inspect(struct mr_registry *r, const GPtrArray *found, const char *name)
{
  GPtrArray *out = g_ptr_array_new_with_free_func(inspected_free);
  for (guint i = 0; i < found->len; i++) {
    const struct mr_found *f = g_ptr_array_index(found, i);
    if (!is_meant(f, name))
      continue;
    struct inspected *x = g_new0(struct inspected, 1);
    x->found = f;
    x->plugin = mr_registry_load(r, f->kind, f->name, &x->why);
    g_ptr_array_add(out, x);
  }
  return out;
}

/* ---- text */

static void print_line(const struct inspected *x)
{
  if (x->plugin)
    printf("%-10s  %-14s  %-10s  %s\n", x->found->kind, x->found->name, x->plugin->version,
           x->plugin->summary);
  else
    printf("%-10s  %-14s  %s\n", x->found->kind, x->found->name, x->why);
}

static void put_notes(GString *out, const struct mr_opt *opt)
{
  if (opt->flags & MR_REQUIRED)
    g_string_append(out, ", required");
  if (opt->flags & MR_SECRET)
    g_string_append(out, ", secret");
  if (opt->flags & MR_DEPRECATED)
    g_string_append(out, ", deprecated");
  if (opt->range)
    g_string_append_printf(out, opt->type == MR_TEXT ? ", %s bytes" : ", %s", opt->range);
  if (opt->dflt)
    g_string_append_printf(out, ", default %s", opt->dflt);
}

static char *describe(const struct mr_opt *opt)
{
  GString *out = g_string_new(NULL);
  if (opt->flags & MR_KEYED)
    g_string_append(out, "mapping to ");
  if (opt->flags & MR_MANY)
    g_string_append(out, "one or many: ");
  if (opt->type == MR_CHOICE && opt->choices) {
    g_autofree char *all = g_strjoinv(" | ", (char **)opt->choices);
    g_string_append(out, all);
  } else {
    g_string_append(out, mr_option_type_name(opt));
  }
  put_notes(out, opt);
  return g_string_free(out, FALSE);
}

static void print_options(const struct mr_opt *table, size_t stride, int indent)
{
  const struct mr_opt *opt;
  for (size_t i = 0; (opt = mr_option_at(table, stride, i)); i++) {
    g_autofree char *notes = describe(opt);
    printf("%*s%s: %s\n%*s%s\n", indent, "", opt->name, notes, indent + 4, "", opt->doc);
    if (opt->type == MR_GROUP)
      print_options(opt->sub, stride, indent + 4);
  }
}

/* ctx: the format of the line before. */
static void print_type(void *ctx, const char *format, const char *type, const char *target)
{
  const char **last = ctx;
  if (!*last || (format && strcmp(*last, format)))
    printf("  types%s%s:\n", format ? ", format " : "", format ? format : "");
  *last = format ? format : "";
  printf("    %-18s  %s\n", type, target ? target : "cannot be written");
}

static void print_plugin(const struct inspected *x)
{
  const struct mr_plugin *p = x->plugin;
  const char *kind = p->source ? "source" : p->transform ? "transform" : "sink";
  printf("%s %s %s: %s\n", kind, p->name, p->version, p->summary);
  printf("  licence %s, file %s\n", p->license, x->found->path);
  if (p->sink)
    printf("  delivers %s\n", mr_app_promise(p));
  print_options(p->options, p->opt_size, 2);
  const char *format = NULL;
  mr_app_types(p, print_type, &format);
}

/* ---- JSON */

static void put_type(void *ctx, const char *format, const char *type, const char *target)
{
  struct mr_json_out *w = ctx;
  mr_json_out_open(w, NULL, '{');
  if (format)
    mr_json_out_text(w, "format", format);
  mr_json_out_text(w, "type", type);
  mr_json_out_text(w, "target", target);
  mr_json_out_close(w, '{');
}

static void put_types(struct mr_json_out *w, const struct mr_plugin *p)
{
  mr_json_out_open(w, "types", '[');
  mr_app_types(p, put_type, w);
  mr_json_out_close(w, '[');
}

static void put_flag(struct mr_json_out *w, const struct mr_opt *opt, int flag, const char *name)
{
  if (opt->flags & flag)
    mr_json_out_bool(w, name, true);
}

static void put_options(struct mr_json_out *w, const struct mr_opt *table, size_t stride)
{
  const struct mr_opt *opt;
  mr_json_out_open(w, "options", '[');
  for (size_t i = 0; (opt = mr_option_at(table, stride, i)); i++) {
    mr_json_out_open(w, NULL, '{');
    mr_json_out_text(w, "name", opt->name);
    mr_json_out_text(w, "type", mr_option_type_name(opt));
    put_flag(w, opt, MR_REQUIRED, "required");
    put_flag(w, opt, MR_SECRET, "secret");
    put_flag(w, opt, MR_DEPRECATED, "deprecated");
    put_flag(w, opt, MR_MANY, "many");
    put_flag(w, opt, MR_KEYED, "keyed");
    put_flag(w, opt, MR_PARTITION, "partition");
    if (opt->range)
      mr_json_out_text(w, "range", opt->range);
    if (opt->dflt)
      mr_json_out_text(w, "default", opt->dflt);
    if (opt->choices)
      mr_json_out_open(w, "choices", '[');
    for (const char *const *c = opt->choices; c && *c; c++)
      mr_json_out_text(w, NULL, *c);
    if (opt->choices)
      mr_json_out_close(w, '[');
    mr_json_out_text(w, "doc", opt->doc);
    if (opt->type == MR_GROUP)
      put_options(w, opt->sub, stride);
    mr_json_out_close(w, '{');
  }
  mr_json_out_close(w, '[');
}

static void put_plugin(struct mr_json_out *w, const struct inspected *x, bool whole)
{
  const struct mr_plugin *p = x->plugin;
  mr_json_out_open(w, NULL, '{');
  mr_json_out_text(w, "kind", x->found->kind);
  mr_json_out_text(w, "name", x->found->name);
  mr_json_out_text(w, "path", x->found->path);
  if (!p)
    mr_json_out_text(w, "refused", x->why);
  if (p)
    mr_json_out_text(w, "version", p->version);
  if (p)
    mr_json_out_text(w, "license", p->license);
  if (p)
    mr_json_out_text(w, "summary", p->summary);
  if (p && p->sink)
    mr_json_out_text(w, "delivery", mr_app_promise(p));
  if (p && whole)
    put_options(w, p->options, p->opt_size);
  if (p && whole && p->sink)
    put_types(w, p);
  mr_json_out_close(w, '{');
}

static void print_json(const GPtrArray *all, bool whole)
{
  struct mr_json_out w = {.text = g_string_new(NULL)};
  mr_json_out_open(&w, NULL, '[');
  for (guint i = 0; i < all->len; i++)
    put_plugin(&w, g_ptr_array_index(all, i), whole);
  mr_json_out_close(&w, '[');
  fputs(w.text->str, stdout);
  g_string_free(w.text, TRUE);
}

static int not_found(const GPtrArray *found, const char *name)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  for (guint i = 0; i < found->len; i++)
    g_ptr_array_add(names, ((struct mr_found *)g_ptr_array_index(found, i))->name);
  g_autofree char *hint = mr_suggest_text(name, (const char *const *)names->pdata, names->len);
  fprintf(stderr, "millrace: no plugin `%s` is installed%s\n", name, hint);
  return MR_EXIT_USAGE;
}

static int print_all(const GPtrArray *all, const char *name, bool json)
{
  int code = MR_EXIT_OK;
  if (json)
    print_json(all, name[0] != 0);
  for (guint i = 0; i < all->len; i++) {
    const struct inspected *x = g_ptr_array_index(all, i);
    if (name[0] && !x->plugin)
      code = MR_EXIT_USAGE;
    if (json)
      continue;
    if (name[0] && x->plugin)
      print_plugin(x);
    else if (name[0])
      fprintf(stderr, "millrace: %s\n", x->why);
    else
      print_line(x);
  }
  return code;
}

/* ---- commit logs */

struct commitlog {
  char **files, **schemas, *node, *user; /* NULL: none */
  gboolean system;
};

static void put_option(GPtrArray *out, const char *name, char *value)
{
  if (!value)
    return;
  g_ptr_array_add(out, (char *)name);
  g_ptr_array_add(out, value);
}

static GPtrArray *commitlog_arguments(const struct commitlog *c, char *tool)
{
  GPtrArray *out = g_ptr_array_new();
  g_ptr_array_add(out, tool);
  for (char **schema = c->schemas; schema && *schema; schema++)
    put_option(out, "--schema", *schema);
  put_option(out, "--node", c->node);
  put_option(out, "--user", c->user);
  if (c->system)
    g_ptr_array_add(out, "--system");
  g_ptr_array_add(out, "--");
  for (char **file = c->files; *file; file++)
    g_ptr_array_add(out, *file);
  g_ptr_array_add(out, NULL);
  return out;
}

/* Becomes the program that reads commit logs, which comes with the cassandra plugin. */
static int read_commitlog(const struct commitlog *c)
{
  struct mr_registry *r = mr_app_registry(false);
  g_autofree char *tool = mr_registry_tool(r, "commitlog");
  mr_registry_free(r);
  if (!tool) {
    fputs(
        "millrace: what reads commit logs is not installed: the package millrace-plugin-cassandra "
        "would have it\n",
        stderr);
    return MR_EXIT_USAGE;
  }
  g_autoptr(GPtrArray) arguments = commitlog_arguments(c, tool);
  execv(tool, (char **)arguments->pdata);
  fprintf(stderr, "millrace: %s: %s\n", tool, g_strerror(errno));
  return MR_EXIT_FAILED;
}

static int inspect_plugins(const char *name, bool json)
{
  struct mr_registry *r = mr_app_registry(true);
  g_autoptr(GPtrArray) found = mr_registry_list(r), all = inspect(r, found, name);
  int code = name[0] && !all->len ? not_found(found, name) : print_all(all, name, json);
  mr_registry_free(r);
  return code;
}

int mr_cmd_inspect(int argc, char **argv)
{
  gboolean json = FALSE;
  struct commitlog c = {0};
  GOptionEntry entries[] = {
      {"json", 0, 0, G_OPTION_ARG_NONE, &json, "for tools", NULL},
      {"commitlog", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &c.files,
       "a commit log segment of Cassandra, or a folder of them: its mutations as JSON lines",
       "FILE"},
      {"schema", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &c.schemas,
       "with --commitlog: what DESCRIBE … WITH INTERNALS printed", "FILE"},
      {"node", 0, 0, G_OPTION_ARG_STRING, &c.node,
       "with --commitlog: a node that is asked for its tables", "HOST[:PORT]"},
      {"user", 0, 0, G_OPTION_ARG_STRING, &c.user,
       "with --node: user name; the password is the environment's CASSANDRA_PASSWORD", "NAME"},
      {"system", 0, 0, G_OPTION_ARG_NONE, &c.system, "with --commitlog: system keyspaces too",
       NULL},
      {NULL}};
  const char *name = mr_app_options(&argc, &argv, "[PLUGIN]",
                                    "Lists the plugins, or shows one plugin's options.", entries);
  if (!name)
    return MR_EXIT_USAGE;
  bool wrong = c.files ? json || name[0] : c.schemas || c.system || c.node || c.user;
  if (wrong)
    fputs(c.files
              ? "millrace: inspect --commitlog takes neither a plugin nor --json\n"
              : "millrace: inspect: --schema, --node, --user and --system belong to --commitlog\n",
          stderr);
  int code = wrong ? MR_EXIT_USAGE : c.files ? read_commitlog(&c) : inspect_plugins(name, json);
  g_strfreev(c.files);
  g_strfreev(c.schemas);
  g_free(c.node);
  g_free(c.user);
  return code;
}
