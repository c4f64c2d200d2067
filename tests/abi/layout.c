/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the size of every struct of the ABI and the place of every field: compared with abi-1.txt,
 * so that a change is seen. */
#include <stdio.h>
#include "millrace/plugin.h"

#define SIZE(s) printf("%s %zu\n", #s, sizeof(struct s))
#define CONSTANT(c) printf("%s %d\n", #c, (int)(c))
#define FIELD(s, f) \
  printf("%s.%s %zu %zu\n", #s, #f, offsetof(struct s, f), sizeof(((struct s *)0)->f))

/* Options, positions, batches, units, errors, and Arrow's two structs. */
static void data(void)
{
  SIZE(mr_error);
  FIELD(mr_error, size);
  FIELD(mr_error, native);
  FIELD(mr_error, row);
  FIELD(mr_error, retry_ms);
  FIELD(mr_error, batch);
  FIELD(mr_error, unit_lost);
  FIELD(mr_error, unreachable);
  FIELD(mr_error, code);
  FIELD(mr_error, option);
  FIELD(mr_error, msg);
  SIZE(mr_list);
  FIELD(mr_list, item);
  FIELD(mr_list, key);
  FIELD(mr_list, n);
  SIZE(mr_opt);
  FIELD(mr_opt, name);
  FIELD(mr_opt, type);
  FIELD(mr_opt, flags);
  FIELD(mr_opt, offset);
  FIELD(mr_opt, sub_size);
  FIELD(mr_opt, range);
  FIELD(mr_opt, dflt);
  FIELD(mr_opt, choices);
  FIELD(mr_opt, sub);
  FIELD(mr_opt, doc);
  SIZE(mr_position);
  FIELD(mr_position, len);
  FIELD(mr_position, token);
  SIZE(mr_batch);
  FIELD(mr_batch, size);
  FIELD(mr_batch, lane);
  FIELD(mr_batch, schema);
  FIELD(mr_batch, rows);
  FIELD(mr_batch, upto);
  FIELD(mr_batch, watermark_us);
  FIELD(mr_batch, id);
  SIZE(mr_mark);
  FIELD(mr_mark, source);
  FIELD(mr_mark, name);
  FIELD(mr_mark, lane);
  FIELD(mr_mark, from);
  FIELD(mr_mark, upto);
  FIELD(mr_mark, owner);
  FIELD(mr_mark, rows);
  FIELD(mr_mark, run);
  FIELD(mr_mark, state);
  FIELD(mr_mark, state_len);
  SIZE(mr_unit);
  FIELD(mr_unit, size);
  FIELD(mr_unit, n);
  FIELD(mr_unit, run);
  FIELD(mr_unit, pipeline);
  FIELD(mr_unit, sink);
  FIELD(mr_unit, label);
  FIELD(mr_unit, mark);
  SIZE(mr_extent);
  FIELD(mr_extent, at);
  FIELD(mr_extent, len);
  SIZE(mr_reject);
  FIELD(mr_reject, size);
  FIELD(mr_reject, lane);
  FIELD(mr_reject, batch);
  FIELD(mr_reject, batch_id);
  FIELD(mr_reject, row);
  FIELD(mr_reject, position);
  FIELD(mr_reject, data);
  FIELD(mr_reject, len);
  FIELD(mr_reject, code);
  FIELD(mr_reject, msg);
  FIELD(mr_reject, column);
  SIZE(ArrowSchema);
  FIELD(ArrowSchema, format);
  FIELD(ArrowSchema, name);
  FIELD(ArrowSchema, metadata);
  FIELD(ArrowSchema, flags);
  FIELD(ArrowSchema, n_children);
  FIELD(ArrowSchema, children);
  FIELD(ArrowSchema, dictionary);
  FIELD(ArrowSchema, release);
  FIELD(ArrowSchema, private_data);
  SIZE(ArrowArray);
  FIELD(ArrowArray, length);
  FIELD(ArrowArray, null_count);
  FIELD(ArrowArray, offset);
  FIELD(ArrowArray, n_buffers);
  FIELD(ArrowArray, n_children);
  FIELD(ArrowArray, buffers);
  FIELD(ArrowArray, children);
  FIELD(ArrowArray, dictionary);
  FIELD(ArrowArray, release);
  FIELD(ArrowArray, private_data);
}

/* What the runtime gives. */
static void host(void)
{
  SIZE(mr_host);
  FIELD(mr_host, abi);
  FIELD(mr_host, size);
  FIELD(mr_host, ctx);
  FIELD(mr_host, wake_fd);
  FIELD(mr_host, log);
  FIELD(mr_host, metric);
  FIELD(mr_host, notify);
  FIELD(mr_host, reject);
  FIELD(mr_host, lanes);
  FIELD(mr_host, lane);
  FIELD(mr_host, lane_end);
  FIELD(mr_host, decoder);
  FIELD(mr_host, decode);
  FIELD(mr_host, decoded);
  FIELD(mr_host, decoder_schema);
  FIELD(mr_host, decoder_free);
  FIELD(mr_host, encoder);
  FIELD(mr_host, encode);
  FIELD(mr_host, encoder_free);
  FIELD(mr_host, expr);
  FIELD(mr_host, eval);
  FIELD(mr_host, expr_free);
  FIELD(mr_host, lookup);
  FIELD(mr_host, find);
  FIELD(mr_host, lookup_free);
  FIELD(mr_host, type);
  FIELD(mr_host, extents);
  FIELD(mr_host, format_name);
  FIELD(mr_host, expr_columns);
  FIELD(mr_host, format_ddl);
  SIZE(mr_open);
  FIELD(mr_open, size);
  FIELD(mr_open, instance);
  FIELD(mr_open, instances);
  FIELD(mr_open, host);
  FIELD(mr_open, conf);
  FIELD(mr_open, in);
  FIELD(mr_open, want);
  FIELD(mr_open, pipeline);
  FIELD(mr_open, stage);
  FIELD(mr_open, memory);
  FIELD(mr_open, bounded);
  FIELD(mr_open, store);
  FIELD(mr_open, new_store);
}

/* What a plugin gives. */
static void kinds(void)
{
  SIZE(mr_source);
  FIELD(mr_source, size);
  FIELD(mr_source, open);
  FIELD(mr_source, schema);
  FIELD(mr_source, start);
  FIELD(mr_source, read);
  FIELD(mr_source, cut);
  FIELD(mr_source, seek);
  FIELD(mr_source, ack);
  FIELD(mr_source, wake);
  FIELD(mr_source, close);
  FIELD(mr_source, lost);
  SIZE(mr_transform);
  FIELD(mr_transform, size);
  FIELD(mr_transform, open);
  FIELD(mr_transform, schema);
  FIELD(mr_transform, start);
  FIELD(mr_transform, apply);
  FIELD(mr_transform, advance);
  FIELD(mr_transform, save);
  FIELD(mr_transform, load);
  FIELD(mr_transform, evolve);
  FIELD(mr_transform, wake);
  FIELD(mr_transform, close);
  SIZE(mr_sink);
  FIELD(mr_sink, size);
  FIELD(mr_sink, delivery);
  FIELD(mr_sink, open);
  FIELD(mr_sink, start);
  FIELD(mr_sink, take);
  FIELD(mr_sink, found);
  FIELD(mr_sink, begin);
  FIELD(mr_sink, write);
  FIELD(mr_sink, flush);
  FIELD(mr_sink, prepare);
  FIELD(mr_sink, commit);
  FIELD(mr_sink, abort);
  FIELD(mr_sink, seal);
  FIELD(mr_sink, send);
  FIELD(mr_sink, resolve);
  FIELD(mr_sink, evolve);
  FIELD(mr_sink, wake);
  FIELD(mr_sink, close);
  FIELD(mr_sink, reread);
  FIELD(mr_sink, window);
  FIELD(mr_sink, unit_rows);
  FIELD(mr_sink, unit_bytes);
  FIELD(mr_sink, state_bytes);
  FIELD(mr_sink, alone);
  SIZE(mr_plugin);
  FIELD(mr_plugin, abi);
  FIELD(mr_plugin, size);
  FIELD(mr_plugin, conf_size);
  FIELD(mr_plugin, opt_size);
  FIELD(mr_plugin, name);
  FIELD(mr_plugin, version);
  FIELD(mr_plugin, license);
  FIELD(mr_plugin, summary);
  FIELD(mr_plugin, options);
  FIELD(mr_plugin, source);
  FIELD(mr_plugin, transform);
  FIELD(mr_plugin, sink);
  FIELD(mr_plugin, validate);
  FIELD(mr_plugin, check);
  FIELD(mr_plugin, discover);
  FIELD(mr_plugin, explain);
  FIELD(mr_plugin, flags);
  FIELD(mr_plugin, ddl);
  FIELD(mr_plugin, type);
  FIELD(mr_plugin, choose);
}

/* Numbers that are part of the contract. */
static void constants(void)
{
  CONSTANT(MR_ABI);
  CONSTANT(MR_OK);
  CONSTANT(MR_IDLE);
  CONSTANT(MR_MORE);
  CONSTANT(MR_SCHEMA);
  CONSTANT(MR_END);
  CONSTANT(MR_RETRY);
  CONSTANT(MR_REJECT);
  CONSTANT(MR_BADCONF);
  CONSTANT(MR_FATAL);
  CONSTANT(MR_UNSURE);
  CONSTANT(MR_FENCED);
  CONSTANT(MR_BOOL);
  CONSTANT(MR_INT);
  CONSTANT(MR_REAL);
  CONSTANT(MR_TEXT);
  CONSTANT(MR_CHOICE);
  CONSTANT(MR_BYTES);
  CONSTANT(MR_TIME_MS);
  CONSTANT(MR_GROUP);
  CONSTANT(MR_COLUMNS);
  CONSTANT(MR_EXPR);
  CONSTANT(MR_FORMAT);
  CONSTANT(MR_LOOKUP);
  CONSTANT(MR_REQUIRED);
  CONSTANT(MR_SECRET);
  CONSTANT(MR_DEPRECATED);
  CONSTANT(MR_MANY);
  CONSTANT(MR_KEYED);
  CONSTANT(MR_PARTITION);
  CONSTANT(MR_DEBUG);
  CONSTANT(MR_INFO);
  CONSTANT(MR_WARN);
  CONSTANT(MR_LANE_NEW);
  CONSTANT(MR_LANE_KNOWN);
  CONSTANT(MR_LANE_LATER);
  CONSTANT(MR_PLAIN);
  CONSTANT(MR_IDEMPOTENT);
  CONSTANT(MR_TWO_PHASE);
  CONSTANT(MR_TRANSACTIONAL);
  CONSTANT(MR_UNKNOWN);
  CONSTANT(MR_RUNNING);
  CONSTANT(MR_PREPARED);
  CONSTANT(MR_COMMITTED);
  CONSTANT(MR_ABORTED);
  CONSTANT(MR_PARTIAL);
}

int main(void)
{
  constants();
  data();
  host();
  kinds();
  return 0;
}
