/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "common/clock.h"
#include "kafka.h"

/* ---------------------------------------------------------------- partitions */

struct kafka_part *kafka_part_of_lane(struct kafka *k, uint32_t lane)
{
  for (size_t i = 0; i < k->n_part; i++)
    if (k->part[i]->placed && k->part[i]->lane == lane)
      return k->part[i];
  return NULL;
}

static struct kafka_part *find(struct kafka *k, const char *topic, int32_t number)
{
  for (size_t i = 0; i < k->n_part; i++)
    if (k->part[i]->number == number && !strcmp(k->part[i]->topic, topic))
      return k->part[i];
  return NULL;
}

/* The file's own string for a topic, so that it outlives metadata and rebalances. */
static const char *own_name(const struct kafka *k, const char *topic)
{
  for (size_t i = 0; i < k->conf->topics.n; i++)
    if (!strcmp(((const char *const *)k->conf->topics.item)[i], topic))
      return ((const char *const *)k->conf->topics.item)[i];
  return NULL;
}

void kafka_part_drop_held(struct kafka_part *p)
{
  for (size_t i = p->first_held; i < p->n_held; i++)
    rd_kafka_message_destroy(p->held[i]);
  p->first_held = p->n_held = 0;
}

static void part_free(struct kafka_part *p)
{
  if (!p)
    return;
  kafka_part_drop_held(p);
  if (p->queue) {
    rd_kafka_queue_io_event_enable(p->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(p->queue);
  }
  free(p->held);
  free(p->name);
  free(p);
}

static struct kafka_part *part_new(struct kafka *k, const char *topic, int32_t number)
{
  struct kafka_part *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  p->topic = topic;
  p->number = number;
  p->at = p->committed = p->sought = -1;
  p->end = p->cut = INT64_MAX;
  p->held = calloc(KAFKA_CHUNK, sizeof *p->held);
  if (asprintf(&p->name, "%s/%d", topic, (int)number) < 0)
    p->name = NULL;
  p->queue = rd_kafka_queue_get_partition(k->rk, topic, number);
  if (!p->held || !p->name || !p->queue) {
    part_free(p);
    return NULL;
  }
  rd_kafka_queue_forward(p->queue, NULL);
  rd_kafka_queue_io_event_enable(p->queue, k->wake, &(uint64_t){1}, sizeof(uint64_t));
  return p;
}

static bool part_add(struct kafka *k, const char *topic, int32_t number)
{
  const char *own = own_name(k, topic);
  if (!own || find(k, topic, number))
    return true;
  struct kafka_part **more = realloc(k->part, (k->n_part + 1) * sizeof *more);
  if (!more)
    return false;
  k->part = more;
  k->part[k->n_part] = part_new(k, own, number);
  if (!k->part[k->n_part])
    return false;
  k->n_part++;
  return true;
}

static void part_remove(struct kafka *k, struct kafka_part *p)
{
  size_t i = 0;
  while (k->part[i] != p)
    i++;
  memmove(&k->part[i], &k->part[i + 1], (--k->n_part - i) * sizeof *k->part);
  part_free(p);
}

void kafka_parts_free(struct kafka *k)
{
  kafka_forget_open(k);
  for (size_t i = 0; i < k->n_part; i++)
    part_free(k->part[i]);
  free(k->part);
  k->part = NULL;
  k->n_part = k->next = 0;
}

/* Adds this instance's share of the topics' partitions. The share of a partition never changes when
 * others are added. */
static bool parts_add(struct kafka *k, const struct rd_kafka_metadata *md)
{
  int32_t instances = k->instances ? (int32_t)k->instances : 1;
  for (int t = 0; t < md->topic_cnt; t++)
    for (int i = 0; i < md->topics[t].partition_cnt; i++) {
      int32_t number = md->topics[t].partitions[i].id;
      if (number % instances == (int32_t)k->instance && !part_add(k, md->topics[t].topic, number))
        return false;
    }
  return true;
}

/* ---------------------------------------------------------------- where a partition starts */

/* The offset that start_offsets gives a partition, or -1. */
static int64_t given_offset(const struct kafka_conf *c, const struct kafka_part *p)
{
  for (size_t i = 0; i < c->start_offsets.n; i++) {
    const char *key = c->start_offsets.key[i], *colon = strrchr(key, ':');
    size_t n = colon ? (size_t)(colon - key) : 0;
    const char *number = colon ? colon + 1 : key;
    if (kafka_digits(number, (int)strlen(number)) == p->number &&
        (!colon || (strlen(p->topic) == n && !strncmp(key, p->topic, n))))
      return ((const int64_t *)c->start_offsets.item)[i];
  }
  return -1;
}

/* What to ask the broker for: OFFSET_BEGINNING, OFFSET_END, or a time. */
static int64_t start_query(const struct kafka_conf *c)
{
  int64_t ms;
  if (c->start_at && kafka_time(c->start_at, &ms))
    return ms < 0 ? RD_KAFKA_OFFSET_BEGINNING : ms;
  return c->start == KAFKA_LATEST ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
}

/* start: committed. Sets `first` of the partitions that the group has an offset for. */
static int committed(struct kafka *k, struct kafka_part **part, int64_t *first, size_t n,
                     struct mr_error *err)
{
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)n);
  for (size_t i = 0; i < n; i++)
    rd_kafka_topic_partition_list_add(l, part[i]->topic, part[i]->number);
  rd_kafka_resp_err_t e = rd_kafka_committed(k->rk, l, KAFKA_CALL_MS);
  for (size_t i = 0; !e && i < n; i++)
    if (l->elems[i].offset >= 0 && first[i] < 0)
      first[i] = l->elems[i].offset;
  rd_kafka_topic_partition_list_destroy(l);
  return e ? kafka_client_fail(k, e, "offsets of the group", err) : MR_OK;
}

/* Where positions are not kept in the targets: has a pipeline with another state come further? Its
 * name stands beside the group's offsets. */
static int look_for_another(struct kafka *k, struct kafka_part **part, size_t n,
                            struct mr_error *err)
{
  if (!k->store || k->new_store || !k->conf->group)
    return MR_OK;
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)n);
  for (size_t i = 0; i < n; i++)
    rd_kafka_topic_partition_list_add(l, part[i]->topic, part[i]->number);
  rd_kafka_resp_err_t e = rd_kafka_committed(k->rk, l, KAFKA_CALL_MS);
  int r = e ? kafka_client_fail(k, e, "offsets of the group", err) : MR_OK;
  for (size_t i = 0; r == MR_OK && i < n; i++) {
    const rd_kafka_topic_partition_t *t = &l->elems[i];
    bool named = t->metadata_size == strlen(k->store), behind = part[i]->at < t->offset;
    if (t->offset >= 0 && named && behind && memcmp(t->metadata, k->store, t->metadata_size))
      r = src_fail(
          err, MR_FATAL, "",
          "group %s has read %s up to offset %lld with another state (%.16s; settings.state "
          "is %s): start with that one, or with --new-state to go on from this one, which "
          "may write rows again",
          k->conf->group, part[i]->name, (long long)t->offset, (const char *)t->metadata, k->store);
  }
  rd_kafka_topic_partition_list_destroy(l);
  return r;
}

/* Fills first[i] where it is below 0 by asking the brokers; state: what host->lane said. */
static int ask_brokers(struct kafka *k, struct kafka_part **part, const int *state, int64_t *first,
                       size_t n, struct mr_error *err)
{
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)n);
  for (size_t i = 0; i < n; i++)
    if (first[i] < 0)
      rd_kafka_topic_partition_list_add(l, part[i]->topic, part[i]->number)->offset =
          state[i] == MR_LANE_LATER ? RD_KAFKA_OFFSET_BEGINNING : start_query(k->conf);
  int r = kafka_client_offsets(k, l, err);
  for (size_t i = 0, at = 0; r == MR_OK && i < n; i++)
    if (first[i] < 0)
      first[i] = l->elems[at++].offset;
  rd_kafka_topic_partition_list_destroy(l);
  return r;
}

static int first_offsets(struct kafka *k, struct kafka_part **part, const int *state,
                         int64_t *first, size_t n, struct mr_error *err)
{
  bool is_new = false;
  int r = MR_OK;
  for (size_t i = 0; i < n; i++) {
    first[i] = state[i] == MR_LANE_NEW ? given_offset(k->conf, part[i]) : -1;
    is_new = is_new || (state[i] == MR_LANE_NEW && first[i] < 0);
  }
  if (is_new && k->conf->start == KAFKA_COMMITTED && !k->conf->start_at)
    r = committed(k, part, first, n, err);
  return r == MR_OK ? ask_brokers(k, part, state, first, n, err) : r;
}

static void known(struct kafka_part *p, const struct mr_position *from)
{
  p->at = (int64_t)mr_position_get(from);
  p->placed = true;
}

/* Gives their first positions to partitions that have none yet. */
static int found_lanes(struct kafka *k, struct kafka_part **part, const int *state, size_t n,
                       struct mr_error *err)
{
  const struct mr_host *h = k->host;
  KAFKA_SCOPED int64_t *first = calloc(n + 1, sizeof *first);
  struct mr_position from;
  int r = first ? first_offsets(k, part, state, first, n, err) : src_no_memory(err);
  for (size_t i = 0; r >= 0 && i < n; i++) {
    struct mr_position p = mr_position_u64((uint64_t)first[i]);
    r = h->lane(h->ctx, part[i]->name, &p, &part[i]->lane, &from, err);
    if (r >= 0)
      known(part[i], &from);
  }
  return r < 0 ? r : MR_OK;
}

/* Tells the runtime all names first: it asks the sinks once. */
static int announce(struct kafka *k, struct kafka_part **part, size_t n, struct mr_error *err)
{
  if (!MR_HAS(k->host, lanes))
    return MR_OK;
  KAFKA_SCOPED const char **name = calloc(n + 1, sizeof *name);
  for (size_t i = 0; name && i < n; i++)
    name[i] = part[i]->name;
  return name ? k->host->lanes(k->host->ctx, name, n, err) : src_no_memory(err);
}

static int name_lanes(struct kafka *k, struct kafka_part **part, size_t n, struct mr_error *err)
{
  const struct mr_host *h = k->host;
  KAFKA_SCOPED struct kafka_part **fresh = calloc(n + 1, sizeof *fresh);
  KAFKA_SCOPED int *state = calloc(n + 1, sizeof *state);
  size_t n_fresh = 0;
  struct mr_position from;
  int r = fresh && state ? announce(k, part, n, err) : src_no_memory(err);
  if (r < 0)
    return r;
  for (size_t i = 0; i < n; i++) {
    r = h->lane(h->ctx, part[i]->name, NULL, &part[i]->lane, &from, err);
    if (r < 0)
      return r;
    if (r == MR_LANE_KNOWN) {
      known(part[i], &from);
    } else {
      state[n_fresh] = r;
      fresh[n_fresh++] = part[i];
    }
  }
  r = look_for_another(k, part, n, err);
  return n_fresh && r == MR_OK ? found_lanes(k, fresh, state, n_fresh, err) : r;
}

/* A bounded run reads up to where each partition ends now. */
static int find_ends(struct kafka *k, struct kafka_part **part, size_t n, struct mr_error *err)
{
  if (!k->bounded)
    return MR_OK;
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)n);
  for (size_t i = 0; i < n; i++)
    rd_kafka_topic_partition_list_add(l, part[i]->topic, part[i]->number)->offset =
        RD_KAFKA_OFFSET_END;
  int r = kafka_client_offsets(k, l, err);
  for (size_t i = 0; r == MR_OK && i < n; i++) {
    part[i]->end = l->elems[i].offset;
    part[i]->ended = part[i]->at >= part[i]->end;
  }
  rd_kafka_topic_partition_list_destroy(l);
  return r;
}

/* Hands partitions to librdkafka; in a rebalance that must be done for none of them, too. One whose
 * lane is not known yet (in a group) waits at the end and is sought later. */
static int assign(struct kafka *k, struct kafka_part **part, size_t n, struct mr_error *err)
{
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)n);
  for (size_t i = 0; i < n; i++)
    rd_kafka_topic_partition_list_add(l, part[i]->topic, part[i]->number)->offset =
        part[i]->placed ? part[i]->at : RD_KAFKA_OFFSET_END;
  rd_kafka_error_t *e = rd_kafka_incremental_assign(k->rk, l);
  rd_kafka_topic_partition_list_destroy(l);
  if (e) {
    int r = kafka_client_fail(k, rd_kafka_error_code(e), "assign", err);
    rd_kafka_error_destroy(e);
    return r;
  }
  for (size_t i = 0; i < n; i++)
    part[i]->assigned = true;
  return MR_OK;
}

/* The partitions without a lane (placed: false) or not handed to librdkafka yet (placed: true).
 * Caller frees; NULL: no memory. */
static struct kafka_part **select_parts(struct kafka *k, bool placed, size_t *ret_n)
{
  struct kafka_part **part = calloc(k->n_part + 1, sizeof *part);
  *ret_n = 0;
  for (size_t i = 0; part && i < k->n_part; i++)
    if (placed ? !k->part[i]->assigned : !k->part[i]->placed)
      part[(*ret_n)++] = k->part[i];
  return part;
}

static int assign_rest(struct kafka *k, struct mr_error *err)
{
  size_t n;
  KAFKA_SCOPED struct kafka_part **part = select_parts(k, true, &n);
  if (!part)
    return src_no_memory(err);
  return n || k->rebalancing ? assign(k, part, n, err) : MR_OK;
}

int kafka_place(struct kafka *k, struct mr_error *err)
{
  size_t n;
  KAFKA_SCOPED struct kafka_part **part = select_parts(k, false, &n);
  if (!part)
    return src_no_memory(err);
  k->placed_ms = clock_now_ms();
  int r = n ? name_lanes(k, part, n, err) : MR_OK;
  if (r == MR_OK && n)
    r = find_ends(k, part, n, err);
  if (r < 0)
    return r;
  for (size_t i = 0; i < n; i++)
    if (part[i]->assigned)
      part[i]->sought = part[i]->at;
  return assign_rest(k, err);
}

/* ---------------------------------------------------------------- seeking and waking */

int kafka_part_seek(struct kafka *k, struct kafka_part *p, int64_t offset, struct mr_error *err)
{
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);
  kafka_part_drop_held(p);
  rd_kafka_topic_partition_list_add(l, p->topic, p->number)->offset = offset;
  rd_kafka_error_t *e = rd_kafka_seek_partitions(k->rk, l, KAFKA_CALL_MS);
  rd_kafka_resp_err_t code = e ? rd_kafka_error_code(e) : l->elems[0].err;
  if (e)
    rd_kafka_error_destroy(e);
  if (code == RD_KAFKA_RESP_ERR__STATE) {
    /* Fetching stopped after an error: only a new assignment starts it again. */
    e = rd_kafka_incremental_unassign(k->rk, l);
    if (e)
      rd_kafka_error_destroy(e);
    e = rd_kafka_incremental_assign(k->rk, l);
    code = e ? rd_kafka_error_code(e) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (e)
      rd_kafka_error_destroy(e);
  }
  rd_kafka_topic_partition_list_destroy(l);
  p->sought = code ? offset : -1;
  p->flow = (struct kafka_flow){0};
  return code ? kafka_client_fail(k, code, p->name, err) : MR_OK;
}

void kafka_part_kick(struct kafka *k, struct kafka_part *p)
{
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(l, p->topic, p->number)->offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_offsets_for_times(k->rk, l, 0); /* not waited for: the answer is of no interest */
  rd_kafka_topic_partition_list_destroy(l);
}

/* ---------------------------------------------------------------- consumer group */

static void assigned(struct kafka *k, const rd_kafka_topic_partition_list_t *list)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  bool ok = true;
  for (int i = 0; ok && i < list->cnt; i++)
    ok = part_add(k, list->elems[i].topic, list->elems[i].partition);
  if (!ok || (kafka_place(k, &err) < 0 && assign_rest(k, &err) < 0)) {
    k->fatal = true;
    snprintf(k->reason, sizeof k->reason, "%.255s", ok ? err.msg : "out of memory");
  }
}

static void revoked(struct kafka *k, const rd_kafka_topic_partition_list_t *list)
{
  bool lost = rd_kafka_assignment_lost(k->rk);
  for (int i = 0; i < list->cnt; i++) {
    struct kafka_part *p = find(k, list->elems[i].topic, list->elems[i].partition);
    if (!p)
      continue;
    if (k->open == p)
      kafka_forget_open(k);
    if (p->placed && !p->lost && !k->closing)
      k->host->lane_end(k->host->ctx, p->lane, lost, KAFKA_MAX_POLL_MS);
    part_remove(k, p);
  }
  rd_kafka_error_t *e = rd_kafka_incremental_unassign(k->rk, list);
  if (e)
    rd_kafka_error_destroy(e);
}

void kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t e, rd_kafka_topic_partition_list_t *list,
                     void *opaque)
{
  struct kafka *k = opaque;
  char line[160];
  snprintf(line, sizeof line, "group %s: %d partitions %s", k->conf->group, list->cnt,
           e == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ? "assigned" : "given back");
  k->host->log(k->host->ctx, MR_INFO, line);
  k->rebalancing = k->joined = true;
  if (e == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !k->closing)
    assigned(k, list);
  else
    revoked(k, list);
  k->rebalancing = false;
}

int kafka_lost(void *self, uint32_t lane, struct mr_error *err)
{
  struct kafka *k = self;
  struct kafka_part *p = kafka_part_of_lane(k, lane);
  if (k->conf->members != KAFKA_MANY)
    return src_fail(err, MR_FENCED, "", "not a member of a group");
  if (!p)
    return MR_OK;
  if (k->open == p)
    kafka_forget_open(k);
  kafka_part_drop_held(p);
  p->lost = true;
  k->lost_ms = clock_now_ms();
  return MR_OK;
}

static int join_group(struct kafka *k, struct mr_error *err)
{
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)k->conf->topics.n);
  for (size_t i = 0; i < k->conf->topics.n; i++)
    rd_kafka_topic_partition_list_add(l, ((const char *const *)k->conf->topics.item)[i],
                                      RD_KAFKA_PARTITION_UA);
  rd_kafka_resp_err_t e = rd_kafka_subscribe(k->rk, l);
  rd_kafka_topic_partition_list_destroy(l);
  k->subscribed = !e;
  return e ? kafka_client_fail(k, e, "joining the group", err) : MR_OK;
}

/* ---------------------------------------------------------------- start and refresh */

static int64_t count(const struct rd_kafka_metadata *md)
{
  int64_t n = 0;
  for (int t = 0; t < md->topic_cnt; t++)
    n += md->topics[t].partition_cnt;
  return n;
}

static int take_parts(struct kafka *k, const struct rd_kafka_metadata *md, struct mr_error *err)
{
  int r = kafka_client_topics(k, md, err);
  if (r == MR_OK && count(md) > k->queues)
    r = kafka_client_reopen(k, count(md), err);
  if (r == MR_OK && k->conf->members == KAFKA_ONE && !parts_add(k, md))
    r = src_no_memory(err);
  return r;
}

int kafka_start(void *self, struct mr_error *err)
{
  struct kafka *k = self;
  const struct rd_kafka_metadata *md;
  int r = kafka_client_open(k, err);
  if (r == MR_OK && !k->n_part && !k->subscribed) {
    r = kafka_client_metadata(k, KAFKA_DEADLINE_MS, &md, err);
    if (r < 0)
      return r;
    r = take_parts(k, md, err);
    rd_kafka_metadata_destroy(md);
  }
  if (r == MR_OK && k->conf->members == KAFKA_MANY && !k->subscribed)
    r = join_group(k, err);
  else if (r == MR_OK)
    r = kafka_place(k, err);
  k->refreshed_ms = clock_now_ms();
  return r;
}

/* The group still counts this member, and a lane of it was taken: it leaves and joins again. */
static int rejoin(struct kafka *k, int64_t now, struct mr_error *err)
{
  bool any = false;
  for (size_t i = 0; i < k->n_part; i++)
    any = any || k->part[i]->lost;
  if (!k->lost_ms || now - k->lost_ms < KAFKA_REJOIN_MS)
    return MR_OK;
  k->lost_ms = 0;
  if (!any)
    return MR_OK;
  k->host->log(k->host->ctx, MR_WARN, "a partition was taken by another process: joining again");
  rd_kafka_unsubscribe(k->rk);
  return join_group(k, err);
}

int kafka_refresh(struct kafka *k, struct mr_error *err)
{
  const struct rd_kafka_metadata *md;
  struct mr_error ignored = {.size = sizeof ignored, .row = -1};
  int64_t now = clock_now_ms();
  bool waiting = false;
  if (!k->subscribed && now - k->refreshed_ms >= KAFKA_REFRESH_MS) {
    k->refreshed_ms = now;
    if (kafka_client_metadata(k, KAFKA_CALL_MS / 2, &md, &ignored) == MR_OK) {
      bool ok = parts_add(k, md);
      rd_kafka_metadata_destroy(md);
      if (!ok)
        return src_no_memory(err);
    }
  }
  if (rejoin(k, now, err) < 0)
    return MR_RETRY;
  for (size_t i = 0; i < k->n_part; i++)
    waiting = waiting || !k->part[i]->placed || k->part[i]->sought >= 0;
  if (!waiting || now - k->placed_ms < 200)
    return MR_OK;
  int r = kafka_place(k, err);
  for (size_t i = 0; i < k->n_part; i++)
    if (k->part[i]->placed && k->part[i]->sought >= 0)
      kafka_part_seek(k, k->part[i], k->part[i]->sought, &ignored);
  return r == MR_RETRY ? MR_OK : r; /* the others go on meanwhile */
}
