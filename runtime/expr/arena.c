/* SPDX-License-Identifier: Apache-2.0 */
#include "expr/internal.h"

#define BLOCK (16 * 1024)

struct mr_block {
  struct mr_block *next;
  int64_t size, used;
  char data[] __attribute__((aligned(16)));
};

static struct mr_block *block_new(int64_t size)
{
  struct mr_block *b;
  int64_t n = size > BLOCK ? size : BLOCK;
  if (posix_memalign((void **)&b, 16, (size_t)n + sizeof *b))
    return NULL;
  *b = (struct mr_block){.size = n};
  return b;
}

void *mr_arena_alloc(struct mr_arena *a, int64_t size)
{
  if (size < 0 || size > INT64_MAX / 2)
    return NULL;
  size = (size + 15) / 16 * 16;
  if (a->max && a->used + size > a->max)
    return NULL;
  if (!a->now || a->now->used + size > a->now->size) {
    struct mr_block *b = block_new(size);
    if (!b)
      return NULL;
    if (a->now)
      a->now->next = b;
    else
      a->first = b;
    a->now = b;
  }
  void *p = a->now->data + a->now->used;
  a->now->used += size;
  a->used += size;
  return p;
}

void *mr_arena_zero(struct mr_arena *a, int64_t size)
{
  void *p = mr_arena_alloc(a, size);
  return p ? memset(p, 0, (size_t)size) : NULL;
}

char *mr_arena_strndup(struct mr_arena *a, const char *s, int64_t n)
{
  char *p = mr_arena_alloc(a, n + 1);
  if (!p)
    return NULL;
  if (n)
    memcpy(p, s, (size_t)n);
  p[n] = 0;
  return p;
}

static void blocks_free(struct mr_block *b)
{
  while (b) {
    struct mr_block *next = b->next;
    free(b);
    b = next;
  }
}

void mr_arena_reset(struct mr_arena *a)
{
  if (!a->first)
    return;
  blocks_free(a->first->next);
  a->first->next = NULL;
  a->first->used = 0;
  a->now = a->first;
  a->used = 0;
}

void mr_arena_done(struct mr_arena *a)
{
  blocks_free(a->first);
  a->first = a->now = NULL;
  a->used = 0;
}
