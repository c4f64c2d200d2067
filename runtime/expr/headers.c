/* SPDX-License-Identifier: Apache-2.0 */
#include "expr/json.h"
#include "expr/scalar.h"

const struct mr_function mr_header_functions[] = {{NULL}};
bool mr_header_reads(const struct mr_node *n) { return false; }
bool mr_header_store(struct mr_expr *e, struct mr_column *to) { return false; }
