/* SPDX-License-Identifier: Apache-2.0 */
/* One small source, built many times: each build is wrong (or right) in one way, named by a macro.
 * The host must refuse what is wrong and say why; it must not crash and must not be silent. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "millrace/build.h"
#include "millrace/plugin.h"

struct conf {
  int64_t n;
};

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  *self = malloc(1);
  return MR_OK;
}

static int schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return mr_schema_struct(give) && mr_schema_field(give, "n", "l", true) ? MR_OK : MR_FATAL;
}

static int start(void *self, struct mr_error *err)
{
  return MR_OK;
}

static int read_(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  return MR_END;
}

static int cut(void *self, uint32_t lane, const struct mr_position *p)
{
  return MR_OK;
}

static int seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  return MR_OK;
}

#ifndef DEFAULT
#define DEFAULT "1"
#endif
static const struct mr_opt options[] = {
    {"n", MR_INT, 0, offsetof(struct conf, n), .range = "0..9", .dflt = DEFAULT, .doc = "a number"},
    {NULL},
};

#ifndef SOURCE_SIZE
#define SOURCE_SIZE sizeof(struct mr_source)
#endif
static const struct mr_source source = {
    .size = SOURCE_SIZE,
    .open = open_,
    .schema = schema,
    .start = start,
#ifndef NO_READ
    .read = read_,
#endif
    .cut = cut,
    .seek = seek,
    .close = free,
};
#ifdef TWO_KINDS
static const struct mr_transform transform = {.size = sizeof transform};
#endif

#ifndef ABI
#define ABI MR_ABI
#endif
#ifndef NAME
#define NAME "probe"
#endif
#ifndef OPT_SIZE
#define OPT_SIZE sizeof(struct mr_opt)
#endif

/* What a later header would have: more fields behind those of today. */
struct larger {
  struct mr_plugin plugin;
  void *more[8];
};
#ifndef EXTRA
#define EXTRA 0
#endif

#define DESCRIPTOR                                                                            \
  {                                                                                           \
    .abi = ABI, .size = sizeof(struct mr_plugin) + (EXTRA), .conf_size = sizeof(struct conf), \
    .opt_size = OPT_SIZE, .name = NAME, .version = "1", .license = "Apache-2.0",              \
    .summary = "a plugin of the ABI test", .options = options, .source = &source, KINDS       \
  }
#ifdef TWO_KINDS
#define KINDS .transform = &transform
#else
#define KINDS .sink = NULL
#endif

#if defined NO_SYMBOL
__attribute__((visibility("default"))) const struct mr_plugin some_other_name = DESCRIPTOR;
#elif defined TINY
__attribute__((visibility("default")))
const char mr_plugin_desc_bytes[4] __asm__("mr_plugin_desc") = {1, 0, 0, 0};
#elif defined FUNCTION
__attribute__((visibility("default"))) const struct mr_plugin *get(void) __asm__("mr_plugin_desc");
const struct mr_plugin *get(void)
{
  static const struct mr_plugin p = DESCRIPTOR;
  return &p;
}
#elif EXTRA > 0 && !defined LIES
__attribute__((visibility("default")))
const struct larger descriptor __asm__("mr_plugin_desc") = {DESCRIPTOR, {NULL}};
#else
const struct mr_plugin mr_plugin_desc = DESCRIPTOR;
#endif

#if defined ABORTS || defined EXITS || defined CRASHES
__attribute__((constructor)) static void at_load(void)
{
#if defined ABORTS
  abort();
#elif defined EXITS
  _exit(7);
#else
  raise(SIGSEGV);
#endif
}
#endif
#ifdef UNDEFINED
void nobody_has_this(void);
__attribute__((constructor)) static void at_load(void)
{
  nobody_has_this();
}
#endif
