/* SPDX-License-Identifier: Apache-2.0 */
/* Writing column values as JSON: the encoder, and its plan of the columns. */
#ifndef MR_JSON_ENCODE_H
#define MR_JSON_ENCODE_H
#include "format/format.h"

extern const struct mr_encoder_vt mr_json_encoder;  /* a value for each row */
extern const struct mr_encoder_vt mr_jsonl_encoder; /* the same with \n behind it */

#endif
