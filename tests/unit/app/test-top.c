/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <string.h>
#include "app/top.h"

#define STAGE(name, kind, instance, rows, bytes, stall, more)                                      \
  "{\"name\": \"" name "\", \"kind\": \"" kind "\", \"instance\": " instance                       \
  ", \"state\": \"running\", \"rows_in\": " rows ", \"rows_out\": " rows ", \"bytes_out\": " bytes \
  ", \"rejected\": 3, \"queued\": 5, \"ring_slots\": 64, \"stall_seconds\": " stall more "}"
#define ANSWER(stages)                                                        \
  "{\"pipeline\": \"p\", \"state\": \"running\", \"memory_bytes\": 2500000, " \
  "\"dead_letters\": 7, \"stages\": [" stages "]}"

static const char before[] =
    ANSWER(STAGE("in", "source", "0", "1000", "0", "1.5",
                 ",\"last_error\": null") "," STAGE("out", "sink", "0", "0", "0", "0", ""));
static const char now[] =
    ANSWER(STAGE("in", "source", "0", "3000", "4000000", "2.5", ",\"last_error\": null") "," STAGE(
        "out", "sink", "0", "1000", "500000", "0",
        ",\"lag_seconds\": 1.25, \"latency_seconds\": {\"p50\": 0.5, \"p99\": 0.75}, "
        "\"last_error\": \"no \\\"route\\\" (to host\\u000a)\""));

static void test_rates(void)
{
  g_autofree char *text = mr_top_table(before, now, 2, 0);
  g_assert_cmpstr(
      text, ==,
      "p: running, 2.5 MB in flight, 7 dead letters\n\n"
      "STAGE  KIND    STATE    ROWS/S  MB/S  RING  STALL   LAG    P99  LETTERS  LAST ERROR\n"
      "in     source  running    1000  2.00     -    50%     -      -        3\n"
      "out    sink    running     500  0.25  5/64     0%  1.2s  0.75s        3  no \"route\" "
      "(to host )\n");
}

static void test_width(void)
{
  g_autofree char *text = mr_top_table(before, now, 2, 20);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (char **line = lines + 2; *line; line++)
    g_assert_cmpuint(strlen(*line), <=, 20);
}

/* Instances are told apart; one that is new has no rate yet. */
static void test_instances(void)
{
  g_autofree char *text =
      mr_top_table(ANSWER(STAGE("in", "source", "0", "10", "0", "0", "")),
                   ANSWER(STAGE("in", "source", "0", "20", "0", "0",
                                "") "," STAGE("in", "source", "1", "99", "0", "0", "")),
                   1, 0);
  g_assert_nonnull(strstr(text, "in.0   source  running      10  0.00"));
  g_assert_nonnull(strstr(text, "in.1   source  running       0  0.00"));
}

static void test_no_answer(void)
{
  g_assert_null(mr_top_table("", "", 1, 0));
  g_assert_null(mr_top_table(now, "<html>", 1, 0));
  g_assert_null(mr_top_table(now, "{\"stages\": [", 1, 0));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/top/rates", test_rates);
  g_test_add_func("/top/width", test_width);
  g_test_add_func("/top/instances", test_instances);
  g_test_add_func("/top/no-answer", test_no_answer);
  return g_test_run();
}
