/* SPDX-License-Identifier: Apache-2.0 */
/* The formats that there are; each is defined in the file of its name. */
#ifndef MR_FORMATS_H
#define MR_FORMATS_H
#include "format/format.h"
extern const struct mr_format_desc mr_format_json, mr_format_jsonl, mr_format_csv, mr_format_raw,
    mr_format_avro;
extern const struct mr_format_text mr_json_text, mr_csv_text;
#endif
