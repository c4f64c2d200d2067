/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"
#include <stdarg.h>
#include <stdio.h>

struct field {
  const char *name, *format;
};

static const struct field trades[] = {
    {"trade_id", "L"},        {"match_seq", "L"},    {"price", "d:18,4"},   {"quantity", "L"},
    {"buy_user_id", "L"},     {"sell_user_id", "L"}, {"buy_order_id", "L"}, {"sell_order_id", "L"},
    {"timestamp", "tsu:UTC"}, {NULL, NULL},
};
static const struct field people[] = {
    {"user_id", "L"},    {"name", "u"},    {"email", "u"},   {"phone", "u"},
    {"ssn", "u"},        {"address", "u"}, {"country", "u"}, {"birth_date", "tdD"},
    {"ip_address", "u"}, {"notes", "u"},   {NULL, NULL},
};
static const struct field sequence[] = {{"id", "L"}, {NULL, NULL}};

static const char *const first_names[] = {"Ada",  "Alan",  "Barbara", "Edsger", "Grace", "Hedy",
                                          "Ivan", "Katya", "Linus",   "Margo",  "Nils",  "Søren"};
static const char *const last_names[] = {"Ångström", "Becker",  "Curie",    "Dijkstra",
                                         "Euler",    "Fourier", "Garcia",   "Hopper",
                                         "Ito",      "Jansen",  "Kowalski", "Lovelace"};
static const char *const streets[] = {"Mill Lane", "Water Street", "Wheel Road", "Harbour View"};
static const char *const countries[] = {"AT", "BR", "DE", "DK", "ES", "FR", "GB", "JP", "NL", "US"};
static const char *const notes[] = {"prefers post", "called twice", "moved in May", NULL};

#define PICK(list, bits) list[(bits) % (sizeof list / sizeof *list)]

/* splitmix64: a good hash of a counter. */
static uint64_t mix(uint64_t seed, uint64_t i)
{
  uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

static const struct field *fields(enum generate_kind kind)
{
  return kind == GENERATE_TRADES ? trades : kind == GENERATE_PEOPLE ? people : sequence;
}

bool generate_fields(enum generate_kind kind, struct ArrowSchema *rows)
{
  for (const struct field *f = fields(kind); f->name; f++)
    if (!mr_schema_field(rows, f->name, f->format, true))
      return false;
  return true;
}

static bool put_decimal(struct mr_column *c, uint64_t unscaled)
{
  uint64_t words[2] = {unscaled, 0};
  return mr_column_fixed(c, words);
}

static bool put_u64(struct mr_column *c, uint64_t v)
{
  return mr_column_int(c, (int64_t)v);
}

static bool trade(uint64_t seed, uint64_t i, struct mr_column *c)
{
  uint64_t h = mix(seed, i);
  return put_u64(&c[0], UINT64_C(1000000000) + i) &&
         put_u64(&c[1], UINT64_C(70000000000) + 3 * i) &&
         put_decimal(&c[2], 100000 + (h & 0xffffffff) % 8000000) &&
         put_u64(&c[3], 100 + (h >> 32) % 900) && put_u64(&c[4], 1000000 + (h >> 8) % 5000) &&
         put_u64(&c[5], 1000000 + (h >> 24) % 5000) &&
         put_u64(&c[6], UINT64_C(20000000000) + 2 * i) &&
         put_u64(&c[7], UINT64_C(20000000001) + 2 * i) &&
         mr_column_int(&c[8], GENERATE_EPOCH_US + (int64_t)i * 1000);
}

__attribute__((format(printf, 2, 3))) static bool put_printf(struct mr_column *c, const char *fmt,
                                                             ...)
{
  char text[128];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return mr_column_bytes(c, text, n < (int)sizeof text ? n : (int)sizeof text - 1);
}

static bool put_note(struct mr_column *c, const char *s)
{
  return s ? mr_column_text(c, s) : mr_column_null(c);
}

static bool person(uint64_t seed, uint64_t i, struct mr_column *c)
{
  uint64_t h = mix(seed, i), g = mix(h, i);
  const char *first = PICK(first_names, h & 0xffff), *last = PICK(last_names, h >> 16 & 0xffff);
  return put_u64(&c[0], 1000000 + i) && put_printf(&c[1], "%s %s", first, last) &&
         put_printf(&c[2], "user%llu@example.com", (unsigned long long)(1000000 + i)) &&
         put_printf(&c[3], "+1-555-%03u-%04u", (unsigned)(g % 1000), (unsigned)(g >> 10) % 10000) &&
         put_printf(&c[4], "9%02u-%02u-%04u", (unsigned)(g >> 24) % 100,
                    (unsigned)(g >> 32) % 99 + 1, (unsigned)(g >> 40) % 9999 + 1) &&
         put_printf(&c[5], "%u %s", (unsigned)(h >> 32) % 200 + 1, PICK(streets, h >> 40 & 0xff)) &&
         mr_column_text(&c[6], PICK(countries, h >> 48)) &&
         mr_column_int(&c[7], (int64_t)(g >> 50) % 20000) &&
         put_printf(&c[8], "192.0.2.%u", (unsigned)(g >> 4) % 254 + 1) &&
         put_note(&c[9], PICK(notes, h >> 56));
}

bool generate_row(enum generate_kind kind, uint64_t seed, uint64_t i, struct mr_column *columns)
{
  switch (kind) {
  case GENERATE_TRADES: return trade(seed, i, columns);
  case GENERATE_PEOPLE: return person(seed, i, columns);
  case GENERATE_SEQUENCE: break;
  }
  return put_u64(&columns[0], i);
}
