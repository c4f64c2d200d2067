/* SPDX-License-Identifier: Apache-2.0 */
#include "data/ring.h"
#include <stdlib.h>
#include <string.h>

bool mr_ring_init(struct mr_ring *r, size_t size)
{
  memset(r, 0, sizeof *r);
  r->slot = calloc(size, sizeof *r->slot);
  r->mask = size - 1;
  return r->slot != NULL;
}

void mr_ring_finish(struct mr_ring *r)
{
  free(r->slot);
  r->slot = NULL;
}
