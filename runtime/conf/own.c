/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/load.h"
#include "millrace/arrow.h"

static void schema_free(void *p)
{
  mr_schema_release(p);
  g_free(p);
}

static void value_free(void *p)
{
  struct mr_value *v = p;
  g_free(v->path);
  g_free(v->text);
  g_free(v->origin);
  g_free(v);
}

struct mr_spec_own *mr_own_new(const char *text, size_t len)
{
  struct mr_spec_own *own = g_new0(struct mr_spec_own, 1);
  own->source = g_strndup(text, len);
  own->memory = g_ptr_array_new_with_free_func(g_free);
  own->schemas = g_ptr_array_new_with_free_func(schema_free);
  own->secrets = g_ptr_array_new_with_free_func(g_free);
  own->values = g_ptr_array_new_with_free_func(value_free);
  return own;
}

void mr_own_free(struct mr_spec_own *own)
{
  if (!own)
    return;
  mr_ynode_free(own->root);
  g_ptr_array_unref(own->memory);
  g_ptr_array_unref(own->schemas);
  g_ptr_array_unref(own->secrets);
  g_ptr_array_unref(own->values);
  g_free(own->source);
  g_free(own);
}

void *mr_own_alloc(struct mr_spec_own *own, size_t size)
{
  void *p = g_malloc0(size ? size : 1);
  g_ptr_array_add(own->memory, p);
  return p;
}

char *mr_own_dup(struct mr_spec_own *own, const char *text)
{
  char *copy = g_strdup(text);
  if (copy)
    g_ptr_array_add(own->memory, copy);
  return copy;
}

static char *origin_name(const struct mr_ynode *n)
{
  for (const struct mr_ynode *up = n; up; up = up->parent)
    if (up->label)
      return g_strdup(up->origin == MR_FROM_SET ? "--set" : up->label);
  return g_strdup(n->origin == MR_FROM_DEFAULT ? "default" : "file");
}

void mr_own_value(struct mr_spec_own *own, const char *path, const struct mr_ynode *n, bool secret)
{
  struct mr_value *v = g_new0(struct mr_value, 1);
  v->path = g_strdup(path);
  v->text = secret ? g_strdup("***") : mr_ynode_text(n);
  v->origin = origin_name(n);
  v->line = n->origin == MR_FROM_FILE ? n->at.line : 0;
  g_ptr_array_add(own->values, v);
}
