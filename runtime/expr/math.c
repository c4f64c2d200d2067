/* SPDX-License-Identifier: Apache-2.0 */
#include "expr/json.h"
#include "expr/scalar.h"

const struct mr_function mr_math_functions[] = {{NULL}};
