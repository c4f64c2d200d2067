/* SPDX-License-Identifier: Apache-2.0 */
/* Avro (specification 1.11): the schema of columns, and the binary encoding of rows. Written here
 * because libavro has no logical types and builds each row as a tree of values. */
#ifndef MR_AVRO_H
#define MR_AVRO_H
#include "format/format.h"

struct mr_avro_conf {
  const char *record, *space; /* name and namespace of the record */
  int64_t schema_id;          /* INT64_MIN: none */
};
/* Why a column has no Avro type, or NULL: it has one. A static text. */
const char *mr_avro_refusal(const struct ArrowSchema *column);
/* Are the names in the options ones that Avro takes? MR_BADCONF names the option. */
int mr_avro_check(const struct mr_avro_conf *c, struct mr_error *err);
extern const struct mr_format_text mr_avro_text;
extern const struct mr_encoder_vt mr_avro_encoder;

#endif
