/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include "app/app.h"

/* Commands that the build may leave out. */
#pragma weak mr_cmd_run
#pragma weak mr_cmd_preview
#pragma weak mr_cmd_replay
#pragma weak mr_cmd_test
#pragma weak mr_cmd_status
#pragma weak mr_cmd_top
#pragma weak mr_cmd_plugin

struct command {
  const char *name, *args, *does;
  int (*run)(int argc, char **argv);
};
static const struct command commands[] = {
    {"run", "FILE", "runs a pipeline until it is stopped, or with --once to the end", mr_cmd_run},
    {"check", "FILE", "all errors of a file; --connect asks every server", mr_cmd_check},
    {"preview", "FILE [STAGE]", "the first rows after a stage; no sink is written to",
     mr_cmd_preview},
    {"test", "FILE", "a pipeline's own tests: rows in, rows expected", mr_cmd_test},
    {"graph", "FILE", "the pipeline as a picture in text", mr_cmd_graph},
    {"discover", "FILE STAGE [TABLE]", "tables and columns that a stage sees", mr_cmd_discover},
    {"replay", "FILE LETTERS", "sends dead letters through the pipeline again", mr_cmd_replay},
    {"status", "[URL]", "what a running pipeline does", mr_cmd_status},
    {"top", "[URL]", "the same, again and again", mr_cmd_top},
    {"inspect", "[PLUGIN]", "the plugins, or one plugin's options", mr_cmd_inspect},
    {"schema", "", "JSON Schema of pipeline files, for editors", mr_cmd_schema},
    {"plugin", "new KIND NAME", "a plugin's skeleton", mr_cmd_plugin},
};

static int help(FILE *out)
{
  fputs("millrace " MR_VERSION
        ": typed data pipelines, declared in one file\n\nusage: millrace COMMAND …\n\n",
        out);
  for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
    if (!commands[i].run)
      continue;
    fprintf(out, "  %-9s %-19s %s\n", commands[i].name, commands[i].args, commands[i].does);
  }
  fputs("\n`millrace COMMAND --help` shows a command's options.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage or file, 3 a server cannot be reached, 4 done "
        "with dead letters.\n",
        out);
  return out == stdout ? MR_EXIT_OK : MR_EXIT_USAGE;
}

static const struct command *find(const char *name)
{
  for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
    if (commands[i].run && !strcmp(commands[i].name, name))
      return &commands[i];
  return NULL;
}

int main(int argc, char **argv)
{
  setlocale(LC_CTYPE, "C.UTF-8");
  if (argc < 2)
    return help(stderr);
  const char *name = argv[1];
  if (!strcmp(name, "--version") || !strcmp(name, "version")) {
    puts("millrace " MR_VERSION);
    return MR_EXIT_OK;
  }
  if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))
    return help(stdout);
  const struct command *c = find(name);
  if (c)
    return c->run(argc - 1, argv + 1);
  fprintf(stderr, "millrace: no command `%s`; `millrace help` lists them\n", name);
  return MR_EXIT_USAGE;
}
