/* SPDX-License-Identifier: Apache-2.0 */
#include "format/csv.h"
#include "format/formats.h"

const struct mr_opt mr_csv_options[] = {
    {.name = "columns",
     .type = MR_COLUMNS,
     .offset = offsetof(struct mr_csv_conf, columns),
     .doc =
         "names and types of the columns; left out: names from the header, types from the values"},
    {.name = "delimiter",
     .type = MR_TEXT,
     .offset = offsetof(struct mr_csv_conf, delimiter),
     .dflt = ",",
     .doc = "what stands between fields: one ASCII character, or tab"},
    {.name = "quote",
     .type = MR_TEXT,
     .offset = offsetof(struct mr_csv_conf, quote),
     .dflt = "\"",
     .doc = "what stands around fields that hold delimiters or line ends, doubled inside; empty: "
            "nothing does"},
    {.name = "header",
     .type = MR_BOOL,
     .offset = offsetof(struct mr_csv_conf, header),
     .dflt = "true",
     .doc = "the first record names the columns"},
    {.name = "null_text",
     .type = MR_TEXT,
     .offset = offsetof(struct mr_csv_conf, null_text),
     .dflt = "",
     .doc = "a field with this text, not in quotes, is null"},
    {0}};

const struct mr_format_desc mr_format_csv = {
    .name = "csv",
    .summary = "CSV (RFC 4180), with a header line unless told otherwise",
    .options = mr_csv_options,
    .conf_size = sizeof(struct mr_csv_conf),
    .framed = true,
    .decoder = &mr_csv_decoder,
    .encoder = &mr_csv_encoder,
    .text = &mr_csv_text};
