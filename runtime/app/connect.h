/* SPDX-License-Identifier: Apache-2.0 */
/* A health line for every stage that talks to a server. */
#ifndef MR_CONNECT_H
#define MR_CONNECT_H
#include "app/app.h"

#define MR_CONNECT_MS 5000 /* until a stage's server counts as down */

/* Runs the check of every stage that has one and is not broken, all at once, each in a child
 * process of its own; prints a line for each in the file's order. The worst exit code: 3 when one
 * is down, 2 when one says that the file is wrong. */
int mr_connect_all(const struct mr_app_file *f);

#endif
