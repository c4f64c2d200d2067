/* SPDX-License-Identifier: Apache-2.0 */
/* PARSE_TIMESTAMP and FORMAT_TIMESTAMP. A pattern with a % is one of strptime's, else one of
 * PostgreSQL's TO_CHAR; either is compiled into the same list of items. */
#include "expr/scalar.h"
#include <stdio.h>
#include <strings.h>

enum item_kind {
  I_TEXT,
  I_BLANKS,
  I_YEAR,
  I_YEAR2,
  I_MONTH,
  I_MON,
  I_MONTH_NAME,
  I_DAY,
  I_DAY_OF_YEAR,
  I_HOUR,
  I_HOUR12,
  I_MINUTE,
  I_SECOND,
  I_MS,
  I_US,
  I_AMPM,
  I_OFFSET,
  I_DY,
  I_DAY_NAME,
  I_EPOCH
};
struct item {
  enum item_kind kind;
  char text; /* I_TEXT: one byte */
};
struct pattern { /* n->data */
  struct item *item;
  int n;
  bool has_offset;
  struct mr_zone *zone; /* FORMAT: of the column */
};

static const struct name {
  const char *name;
  enum item_kind kind;
} percent[] = {{"Y", I_YEAR},        {"y", I_YEAR2},      {"m", I_MONTH},    {"b", I_MON},
               {"h", I_MON},         {"B", I_MONTH_NAME}, {"d", I_DAY},      {"e", I_DAY},
               {"j", I_DAY_OF_YEAR}, {"H", I_HOUR},       {"I", I_HOUR12},   {"M", I_MINUTE},
               {"S", I_SECOND},      {"L", I_MS},         {"f", I_US},       {"p", I_AMPM},
               {"z", I_OFFSET},      {"a", I_DY},         {"A", I_DAY_NAME}, {"s", I_EPOCH},
               {"n", I_BLANKS},      {"t", I_BLANKS}},
  template[] = {{"YYYY", I_YEAR},      {"YY", I_YEAR2},        {"MONTH", I_MONTH_NAME},
                {"MON", I_MON},        {"MM", I_MONTH},        {"MI", I_MINUTE},
                {"MS", I_MS},          {"DDD", I_DAY_OF_YEAR}, {"DD", I_DAY},
                {"DAY", I_DAY_NAME},   {"DY", I_DY},           {"HH24", I_HOUR},
                {"HH12", I_HOUR12},    {"HH", I_HOUR12},       {"SS", I_SECOND},
                {"US", I_US},          {"AM", I_AMPM},         {"PM", I_AMPM},
                {"TZH:TZM", I_OFFSET}, {"TZHTZM", I_OFFSET},   {"TZH", I_OFFSET},
                {"OF", I_OFFSET}};

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                   "Friday", "Saturday", "Sunday"};

/* ---- compiling a pattern */

static void add(struct pattern *p, enum item_kind kind, char text)
{
  p->item[p->n++] = (struct item){kind, text};
  p->has_offset |= kind == I_OFFSET || kind == I_EPOCH;
}

static void add_all(struct pattern *p, const char *items)
{
  for (; *items; items++) {
    enum item_kind kind = I_TEXT;
    for (size_t i = 0; i < MR_COUNT(percent); i++)
      if (*items != ':' && *items != '-' && percent[i].name[0] == *items)
        kind = percent[i].kind;
    add(p, kind, *items);
  }
}

static int compile_percent(struct mr_check *c, const struct mr_node *at, const char *s,
                           struct pattern *p)
{
  for (; *s; s++) {
    size_t i = 0;
    if (*s != '%') {
      add(p, *s == ' ' ? I_BLANKS : I_TEXT, *s);
      continue;
    }
    s++;
    while (i < MR_COUNT(percent) && percent[i].name[0] != *s)
      i++;
    if (i < MR_COUNT(percent))
      add(p, percent[i].kind, 0);
    else if (*s == 'F')
      add_all(p, "Y-m-d");
    else if (*s == 'T')
      add_all(p, "H:M:S");
    else if (*s == 'R')
      add_all(p, "H:M");
    else if (*s == '%')
      add(p, I_TEXT, '%');
    else
      return mr_check_fail(c, at, "the pattern has an unknown %%%c", *s ? *s : ' ');
  }
  return MR_OK;
}

static int compile_template(struct mr_check *c, const struct mr_node *at, const char *s,
                            struct pattern *p)
{
  while (*s) {
    size_t i = 0, n = 1;
    while (i < MR_COUNT(template) && strncasecmp(s, template[i].name, strlen(template[i].name)))
      i++;
    if (i < MR_COUNT(template)) {
      n = strlen(template[i].name);
      add(p, template[i].kind, 0);
    } else if (*s == '"') {
      const char *end = strchr(s + 1, '"');
      if (!end)
        return mr_check_fail(c, at, "the pattern has an unclosed \"");
      n = (size_t)(end - s) + 1;
      for (const char *q = s + 1; q < end; q++)
        add(p, I_TEXT, *q);
    } else if ((*s | 32) >= 'a' && (*s | 32) <= 'z' && *s != 'T' && *s != 'Z') {
      return mr_check_fail(c, at, "the pattern has unknown letters at `%.10s`: write them in \"\"",
                           s);
    } else {
      add(p, *s == ' ' ? I_BLANKS : I_TEXT, *s);
    }
    s += n;
  }
  return MR_OK;
}

static int compile(struct mr_check *c, struct mr_node *n, struct pattern **ret)
{
  const char *text;
  struct pattern *p = mr_check_alloc(c, sizeof *p);
  int st = mr_want_const_text(c, n, 1, &text);
  if (st < 0)
    return st;
  if (!p ||
      !(p->item = mr_check_alloc(c, (int64_t)(strlen(text) + 1) * 5 * (int64_t)sizeof *p->item)))
    return mr_check_memory(c);
  *ret = p;
  return strchr(text, '%') ? compile_percent(c, n->arg[1], text, p)
                           : compile_template(c, n->arg[1], text, p);
}

/* ---- reading */

struct reading {
  struct mr_civil c;
  int64_t day_of_year, offset_us, epoch;
  int half; /* 0 AM, 1 PM, -1 not said */
  bool twelve, has_offset, has_epoch;
};

static bool take_digits(struct mr_span *s, int min, int max, int64_t *ret)
{
  int n = 0;
  int64_t v = 0;
  while (n < max && n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
    v = v * 10 + (s->p[n++] - '0');
  if (n < min)
    return false;
  s->p += n;
  s->n -= n;
  *ret = v;
  return true;
}

static bool take_int(struct mr_span *s, int max, int *ret)
{
  int64_t v;
  if (!take_digits(s, 1, max, &v))
    return false;
  *ret = (int)v;
  return true;
}

/* 1 to 9 digits of a fraction of a second; beyond microseconds they are cut. */
static bool take_fraction(struct mr_span *s, int *ret_us)
{
  int us = 0, digits = 0;
  for (; s->n && s->p[0] >= '0' && s->p[0] <= '9' && digits < 9; digits++, s->p++, s->n--)
    if (digits < 6)
      us = us * 10 + (s->p[0] - '0');
  for (int k = digits; k < 6; k++)
    us *= 10;
  *ret_us = us;
  return digits > 0;
}

/* One of the names, in full or its first three letters, from 1. */
static bool take_name(struct mr_span *s, const char *const *names, int n, int *ret)
{
  for (int i = 0; i < n; i++) {
    int64_t full = (int64_t)strlen(names[i]),
            k = s->n >= full && !strncasecmp(s->p, names[i], (size_t)full) ? full : 3;
    if (s->n < k || strncasecmp(s->p, names[i], (size_t)k))
      continue;
    s->p += k;
    s->n -= k;
    *ret = i + 1;
    return true;
  }
  return false;
}

static bool take_offset(struct mr_span *s, struct reading *x)
{
  int64_t h, m = 0;
  x->has_offset = true;
  if (s->n && (s->p[0] | 32) == 'z')
    return s->p++, s->n--, true;
  if (!s->n || (s->p[0] != '+' && s->p[0] != '-'))
    return false;
  int sign = s->p[0] == '-' ? -1 : 1;
  s->p++;
  s->n--;
  if (!take_digits(s, 2, 2, &h))
    return false;
  if (s->n > 2 && s->p[0] == ':')
    s->p++, s->n--;
  if (s->n && s->p[0] >= '0' && s->p[0] <= '9' && !take_digits(s, 2, 2, &m))
    return false;
  x->offset_us = sign * (h * 60 + m) * 60000000;
  return h < 16 && m < 60;
}

static bool take_half(struct mr_span *s, struct reading *x)
{
  if (s->n < 2 || (s->p[1] | 32) != 'm')
    return false;
  x->half = (s->p[0] | 32) == 'a' ? 0 : (s->p[0] | 32) == 'p' ? 1 : -1;
  s->p += 2;
  s->n -= 2;
  return x->half >= 0;
}

static bool take_blanks(struct mr_span *s)
{
  while (s->n && (s->p[0] == ' ' || (s->p[0] >= '\t' && s->p[0] <= '\r')))
    s->p++, s->n--;
  return true;
}

static bool take_year2(struct mr_span *s, struct reading *x)
{
  int64_t v;
  if (!take_digits(s, 2, 2, &v))
    return false;
  x->c.year = v + (v < 70 ? 2000 : 1900);
  return true;
}

static bool take_epoch(struct mr_span *s, struct reading *x)
{
  bool minus = s->n && s->p[0] == '-';
  if (minus)
    s->p++, s->n--;
  x->has_epoch = true;
  if (!take_digits(s, 1, 12, &x->epoch))
    return false;
  x->epoch = (minus ? -x->epoch : x->epoch) * 1000000;
  return true;
}

static bool take_item(struct mr_span *s, const struct item *it, struct reading *x)
{
  int unused;
  switch (it->kind) {
  case I_TEXT: return s->n && s->p[0] == it->text && (s->p++, s->n--, true);
  case I_BLANKS: return take_blanks(s);
  case I_YEAR: return take_digits(s, 4, 4, &x->c.year);
  case I_YEAR2: return take_year2(s, x);
  case I_MONTH: return take_int(s, 2, &x->c.month);
  case I_MON:
  case I_MONTH_NAME: return take_name(s, months, 12, &x->c.month);
  case I_DAY: return take_int(s, 2, &x->c.day);
  case I_DAY_OF_YEAR: return take_digits(s, 1, 3, &x->day_of_year);
  case I_HOUR12: x->twelve = true; return take_int(s, 2, &x->c.hour);
  case I_HOUR: return take_int(s, 2, &x->c.hour);
  case I_MINUTE: return take_int(s, 2, &x->c.minute);
  case I_SECOND: return take_int(s, 2, &x->c.second);
  case I_MS:
  case I_US: return take_fraction(s, &x->c.us);
  case I_AMPM: return take_half(s, x);
  case I_OFFSET: return take_offset(s, x);
  case I_DY:
  case I_DAY_NAME: return take_name(s, days, 7, &unused);
  case I_EPOCH: return take_epoch(s, x);
  }
  return false;
}

static enum mr_scan finish(struct reading *x, int64_t *ret)
{
  if (x->has_epoch)
    return *ret = x->epoch + x->c.us, MR_SCAN_OK;
  if (x->twelve && (x->c.hour < 1 || x->c.hour > 12))
    return MR_SCAN_RANGE;
  if (x->twelve)
    x->c.hour = x->c.hour % 12 + (x->half == 1 ? 12 : 0);
  if (x->day_of_year)
    x->c.month = x->c.day = 1;
  if (!mr_civil_valid(&x->c) || x->day_of_year > 366)
    return MR_SCAN_RANGE;
  int64_t us = mr_civil_us(&x->c) - x->offset_us;
  if (x->day_of_year)
    us += (x->day_of_year - 1) * MR_DAY_US;
  if (us < MR_MIN_US || us > MR_MAX_US)
    return MR_SCAN_RANGE;
  *ret = us;
  return MR_SCAN_OK;
}

static enum mr_scan read_pattern(const struct pattern *p, struct mr_span s, int64_t *ret)
{
  struct reading x = {.c = {.year = 1970, .month = 1, .day = 1}, .half = -1};
  s = mr_scan_trim(s);
  for (int i = 0; i < p->n; i++)
    if (!take_item(&s, &p->item[i], &x))
      return MR_SCAN_BAD;
  return s.n ? MR_SCAN_BAD : finish(&x, ret);
}

static void run_parse(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                      struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    enum mr_scan s = read_pattern(n->data, MR_VS(arg[0])[i], &MR_VI(out)[i]);
    if (s == MR_SCAN_BAD)
      mr_run_bad(r, n, out, i, MR_E_DATETIME, "the text does not fit the pattern");
    if (s == MR_SCAN_RANGE)
      mr_run_bad(r, n, out, i, MR_E_FIELD, "there is no such date or time");
  }
}

static int check_parse(struct mr_check *c, struct mr_node *n)
{
  struct pattern *p = NULL;
  int st = mr_check_args(c, n);
  if (st < 0 || (st = mr_want_text(c, n, 0)) < 0 || (st = compile(c, n, &p)) < 0)
    return st;
  n->data = p;
  n->run = run_parse;
  n->type = mr_xtype_timestamp(p->has_offset ? "UTC" : "");
  return MR_OK;
}

/* ---- writing */

static int print_offset(int64_t us, char *to, size_t size)
{
  int64_t m = us / 60000000;
  return snprintf(to, size, "%c%02d:%02d", m < 0 ? '-' : '+', (int)((m < 0 ? -m : m) / 60),
                  (int)((m < 0 ? -m : m) % 60));
}

static int print_item(const struct item *it, const struct mr_civil *c, int64_t us, int64_t offset,
                      char *to, size_t size)
{
  int64_t day = mr_floor_div(us, MR_DAY_US), dow = day + 3 - mr_floor_div(day + 3, 7) * 7;
  switch (it->kind) {
  case I_TEXT:
  case I_BLANKS: to[0] = it->text ? it->text : ' '; return 1;
  case I_YEAR: return (int)mr_print_digits(c->year, 4, to);
  case I_YEAR2: return (int)mr_print_digits(c->year % 100, 2, to);
  case I_MONTH: return (int)mr_print_digits(c->month, 2, to);
  case I_MON: return snprintf(to, size, "%.3s", months[c->month - 1]);
  case I_MONTH_NAME: return snprintf(to, size, "%s", months[c->month - 1]);
  case I_DAY: return (int)mr_print_digits(c->day, 2, to);
  case I_DAY_OF_YEAR:
    return snprintf(to, size, "%03d", (int)(day - mr_civil_days(c->year, 1, 1)) + 1);
  case I_HOUR: return (int)mr_print_digits(c->hour, 2, to);
  case I_HOUR12: return (int)mr_print_digits((c->hour + 11) % 12 + 1, 2, to);
  case I_MINUTE: return (int)mr_print_digits(c->minute, 2, to);
  case I_SECOND: return (int)mr_print_digits(c->second, 2, to);
  case I_MS: return (int)mr_print_digits(c->us / 1000, 3, to);
  case I_US: return (int)mr_print_digits(c->us, 6, to);
  case I_AMPM: return snprintf(to, size, "%s", c->hour < 12 ? "AM" : "PM");
  case I_OFFSET: return print_offset(offset, to, size);
  case I_DY: return snprintf(to, size, "%.3s", days[dow]);
  case I_DAY_NAME: return snprintf(to, size, "%s", days[dow]);
  case I_EPOCH: return snprintf(to, size, "%lld", (long long)mr_floor_div(us - offset, 1000000));
  }
  return 0;
}

#define ITEM_BYTES 24 /* the longest item is an epoch */

static void run_format(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                       struct mr_vec *out)
{
  const struct pattern *p = n->data;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t us = MR_VI(arg[0])[i], at = 0;
    if (!r->live[i])
      continue;
    if (us < MR_MIN_US || us > MR_MAX_US) {
      mr_run_bad(r, n, out, i, MR_E_FIELD, "outside of the years 1 to 9999");
      continue;
    }
    int64_t offset = p->zone ? mr_zone_offset(p->zone, us) : 0;
    struct mr_civil c = mr_civil_of_us(us + offset);
    char *to = mr_run_text(r, n, out, i, (int64_t)p->n * ITEM_BYTES);
    if (!to)
      continue;
    for (int k = 0; k < p->n; k++)
      at += print_item(&p->item[k], &c, us + offset, offset, to + at, ITEM_BYTES);
    MR_VS(out)[i] = (struct mr_span){to, at};
  }
}

static int check_format(struct mr_check *c, struct mr_node *n)
{
  struct pattern *p = NULL;
  char type[128];
  int st = mr_check_args(c, n);
  if (st < 0)
    return st;
  int kind = n->arg[0]->type.kind;
  if (kind == MR_K_DATE || kind == MR_K_NULL)
    st = mr_coerce_arg(c, n, 0, mr_xtype_timestamp(""));
  else if (kind != MR_K_TIMESTAMP)
    return mr_check_fail(c, n->arg[0], "`%s` takes a timestamp or date, not %s", n->name,
                         mr_xtype_name(&n->arg[0]->type, type, sizeof type));
  if (st < 0 || (st = compile(c, n, &p)) < 0)
    return st;
  if (n->arg[0]->type.zone[0] && (st = mr_zone_check(c, n, n->arg[0]->type.zone, &p->zone)) < 0)
    return st;
  n->data = p;
  n->run = run_format;
  n->type = mr_xtype_of_kind(MR_K_TEXT);
  return MR_OK;
}

const struct mr_function mr_format_functions[] = {
    {"parse_timestamp", 2, 2, check_parse, "PARSE_TIMESTAMP(text, 'pattern')"},
    {"format_timestamp", 2, 2, check_format, "FORMAT_TIMESTAMP(x, 'pattern')"},
    {"to_char", 2, 2, check_format, "TO_CHAR(x, 'pattern')"},
    {NULL}};
