/* SPDX-License-Identifier: Apache-2.0 */
/* A single-producer single-consumer ring of pointers. One thread pushes, one thread pops; no lock,
 * no system call. */
#ifndef MR_RING_H
#define MR_RING_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_CACHE_LINE 64

/* Indices run freely (they wrap at 2^64, never at the size). Each side keeps a copy of the other's
 * index and reads the real one only when the copy says full or empty. */
struct mr_ring {
  size_t mask;
  void **slot;
  _Alignas(MR_CACHE_LINE) _Atomic uint64_t tail; /* written by the producer */
  uint64_t head_seen;                            /* producer's copy of head */
  _Alignas(MR_CACHE_LINE) _Atomic uint64_t head; /* written by the consumer */
  uint64_t tail_seen;                            /* consumer's copy of tail */
};

/* size: a power of two, in slots. false: no memory. */
bool mr_ring_init(struct mr_ring *r, size_t size);
void mr_ring_finish(
    struct mr_ring *r); /* frees the slots; what is still in them is the caller's affair */

/* Producer's thread. false: full. */
static inline bool mr_ring_push(struct mr_ring *r, void *item)
{
  uint64_t t = atomic_load_explicit(&r->tail, memory_order_relaxed);
  if (t - r->head_seen > r->mask) {
    /* pairs with the release in mr_ring_pop: the slot was read before it is written again */
    r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    if (t - r->head_seen > r->mask)
      return false;
  }
  r->slot[t & r->mask] = item;
  atomic_store_explicit(&r->tail, t + 1, memory_order_release);
  return true;
}
/* Consumer's thread. NULL: empty. */
static inline void *mr_ring_pop(struct mr_ring *r)
{
  uint64_t h = atomic_load_explicit(&r->head, memory_order_relaxed);
  if (h == r->tail_seen) {
    /* pairs with the release in mr_ring_push: the item was written before it is read */
    r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
    if (h == r->tail_seen)
      return NULL;
  }
  void *item = r->slot[h & r->mask];
  atomic_store_explicit(&r->head, h + 1, memory_order_release);
  return item;
}
/* Any thread; a moment's truth. */
static inline size_t mr_ring_used(struct mr_ring *r)
{
  uint64_t h = atomic_load_explicit(&r->head, memory_order_acquire);
  return (size_t)(atomic_load_explicit(&r->tail, memory_order_acquire) - h);
}

#endif
