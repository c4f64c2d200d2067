/* SPDX-License-Identifier: Apache-2.0 */
/* Threads as coroutines, one real thread, a scheduler that draws who runs next. A killed process is
 * simply never run again: what it held in memory is gone for the others as after kill -9. */
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "sim.h"

#define STACK (256 * 1024)
#define MAX_CO 256

struct co {
  ucontext_t ctx;
  void *stack;
  void (*fn)(void *);
  void *arg;
  int proc;
  bool done, dead;
  struct mr_event *event; /* waits for it; NULL: runnable, or sleeping until `until` */
  uint32_t seen;
  int64_t until;
};
struct sim_os {
  struct mr_os vt;
  struct sim_world *w;
  int proc;
};

static struct co *threads[MAX_CO];
static int n_cos;
static struct co *current;
static ucontext_t scheduler;
static bool alive[SIM_PROCS];
static int64_t paused_until[SIM_PROCS];
static GPtrArray *free_stacks;

static struct sim_world *world;

static void switch_out(void)
{
  struct co *me = current;
  swapcontext(&me->ctx, &scheduler);
}

void sim_yield(void)
{
  current->event = NULL;
  current->until = world->now;
  switch_out();
}

void sim_sleep(int64_t us)
{
  current->event = NULL;
  current->until = world->now + us;
  switch_out();
}

int sim_current_proc(void)
{
  return current ? current->proc : -1;
}

static void entry(void)
{
  struct co *me = current;
  me->fn(me->arg);
  me->done = true;
  switch_out();
}

static struct co *co_new(struct sim_world *w, int proc, void (*fn)(void *), void *arg)
{
  if (n_cos == MAX_CO)
    g_error("too many coroutines");
  struct co *c = g_new0(struct co, 1);
  if (!free_stacks)
    free_stacks = g_ptr_array_new();
  c->stack = free_stacks->len ? g_ptr_array_steal_index_fast(free_stacks, free_stacks->len - 1)
                              : malloc(STACK);
  c->fn = fn;
  c->arg = arg;
  c->proc = proc;
  c->until = w->now;
  getcontext(&c->ctx);
  c->ctx.uc_stack.ss_sp = c->stack;
  c->ctx.uc_stack.ss_size = STACK;
  c->ctx.uc_link = &scheduler;
  makecontext(&c->ctx, entry, 0);
  threads[n_cos++] = c;
  return c;
}

void sim_start(struct sim_world *w, int proc, void (*fn)(void *), void *arg)
{
  world = w;
  alive[proc] = true;
  co_new(w, proc, fn, arg);
}

void sim_kill(struct sim_world *w, int proc)
{
  alive[proc] = false;
  for (int i = 0; i < n_cos; i++)
    if (threads[i]->proc == proc)
      threads[i]->dead = true;
}

bool sim_alive(int proc)
{
  return alive[proc];
}
void sim_pause(struct sim_world *w, int proc, int64_t us)
{
  paused_until[proc] = w->now + us;
}

static void sweep(void)
{
  int k = 0;
  for (int i = 0; i < n_cos; i++) {
    if (threads[i]->dead) {
      g_ptr_array_add(free_stacks, threads[i]->stack);
      g_free(threads[i]);
    } else
      threads[k++] = threads[i];
  }
  n_cos = k;
}

void sim_reset(void)
{
  for (int i = 0; i < n_cos; i++)
    threads[i]->dead = true;
  sweep();
  alive[0] = alive[1] = false;
  paused_until[0] = paused_until[1] = 0;
}

static bool runnable(const struct co *c, int64_t now)
{
  if (c->done || c->dead || paused_until[c->proc] > now)
    return false;
  if (c->event && atomic_load(&c->event->seq) != c->seen)
    return true;
  return c->until >= 0 && c->until <= now;
}

/* Nobody can run: the clock moves to the next time something can. false: never. */
static bool advance(struct sim_world *w, int64_t next)
{
  for (int i = 0; i < SIM_PROCS; i++)
    if (paused_until[i] > w->now)
      next = MIN(next, paused_until[i]);
  for (int i = 0; i < n_cos; i++)
    if (!threads[i]->done && !threads[i]->dead && threads[i]->until >= 0 &&
        paused_until[threads[i]->proc] <= w->now)
      next = MIN(next, threads[i]->until);
  for (guint i = 0; i < w->requests->len; i++)
    next = MIN(next, ((struct sim_request *)w->requests->pdata[i])->due);
  if (next == INT64_MAX)
    return false;
  w->now = MAX(next, w->now + 1);
  return true;
}

bool sim_schedule(struct sim_world *w, int64_t max_steps, int64_t (*between)(struct sim_world *w))
{
  world = w;
  for (int64_t step = 0; step < max_steps && !w->violation; step++) {
    int64_t next = between(w);
    sweep();
    int live = 0, ready = 0, pick[MAX_CO];
    for (int i = 0; i < n_cos; i++) {
      live += !threads[i]->done;
      if (runnable(threads[i], w->now))
        pick[ready++] = i;
    }
    if (!live && next == INT64_MAX)
      return true;
    if (!ready) {
      if (!advance(w, next)) {
        sim_violate(w, "STUCK: every thread waits for ever");
        return true;
      }
      continue;
    }
    current = threads[pick[sim_draw(w, (uint64_t)ready)]];
    swapcontext(&scheduler, &current->ctx);
    current = NULL;
    w->now += 1 + (int64_t)sim_draw(w, 20);
  }
  return w->violation != NULL;
}

/* ---- the vtable */

static struct sim_world *w_of(struct mr_os *os)
{
  return ((struct sim_os *)os)->w;
}
static int64_t now(struct mr_os *os)
{
  return w_of(os)->now;
}
static int64_t wall(struct mr_os *os)
{
  return 1700000000000000 + w_of(os)->now;
}
static uint64_t rnd(struct mr_os *os)
{
  return sim_draw(w_of(os), 1u << 30);
}

static void os_wait(struct mr_os *os, struct mr_event *e, uint32_t seen, int64_t timeout_us)
{
  current->event = e;
  current->seen = seen;
  current->until = timeout_us < 0 ? -1 : w_of(os)->now + timeout_us;
  switch_out();
  current->event = NULL;
}

static void os_wake(struct mr_os *os, struct mr_event *e)
{
  atomic_fetch_add(&e->seq, 1);
}

static void *os_spawn(struct mr_os *os, void (*fn)(void *), void *arg, const char *name)
{
  return co_new(w_of(os), ((struct sim_os *)os)->proc, fn, arg);
}

static void os_join(struct mr_os *os, void *thread)
{
  struct co *c = thread;
  while (!c->done)
    sim_sleep(1000);
  c->dead = true; /* swept by the scheduler */
}

struct mr_os *sim_os_new(struct sim_world *w, int proc)
{
  struct sim_os *o = g_new0(struct sim_os, 1);
  o->vt = (struct mr_os){now, wall, rnd, os_wait, os_wake, os_spawn, os_join};
  o->w = w;
  o->proc = proc;
  return &o->vt;
}
