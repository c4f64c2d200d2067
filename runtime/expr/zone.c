/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones from the system's database (TZif files, RFC 8536) and fixed offsets. */
#include "expr/scalar.h"
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#define MAX_FILE (1 << 20)
#define SECOND 1000000LL

struct rule { /* Mm.w.d/time of a POSIX TZ string; julian: Jn (1) or n (2) */
  int julian, month, week, day;
  int64_t time; /* seconds after midnight */
};
struct mr_zone {
  int64_t n;       /* transitions */
  int64_t *at;     /* seconds, rising */
  int32_t *offset; /* offset[i] holds from at[i]; first: before at[0] */
  int32_t first, standard, daylight;
  bool has_footer, has_daylight;
  struct rule start, end;
  int64_t hit; /* the transition that answered last */
};

/* ---- POSIX TZ strings: what holds after the last transition */

static const char *skip_name(const char *p)
{
  if (*p == '<') {
    while (*p && *p != '>')
      p++;
    return *p ? p + 1 : p;
  }
  while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))
    p++;
  return p;
}

static const char *number(const char *p, int64_t *ret)
{
  int64_t v = 0;
  if (*p < '0' || *p > '9')
    return NULL;
  for (int k = 0; *p >= '0' && *p <= '9' && k < 6; k++)
    v = v * 10 + (*p++ - '0');
  *ret = v;
  return p;
}

/* [+-]hh[:mm[:ss]] in seconds */
static const char *hms(const char *p, int64_t *ret)
{
  int64_t v, sign = *p == '-' ? -1 : 1, total = 0, unit = 3600;
  if (*p == '-' || *p == '+')
    p++;
  for (; unit; unit /= 60) {
    if (!(p = number(p, &v)))
      return NULL;
    total += v * unit;
    if (*p != ':' || unit == 1)
      break;
    p++;
  }
  *ret = sign * total;
  return p;
}

static const char *parse_rule(const char *p, struct rule *r)
{
  int64_t v[3] = {0, 0, 0};
  if (*p++ != ',')
    return NULL;
  r->julian = *p == 'J' ? 1 : *p == 'M' ? 0 : 2;
  if (r->julian < 2)
    p++;
  for (int k = 0; k < (r->julian ? 1 : 3); k++) {
    if (k && *p++ != '.')
      return NULL;
    if (!(p = number(p, &v[k])))
      return NULL;
  }
  if (r->julian)
    v[2] = v[0];
  else if (v[0] < 1 || v[0] > 12)
    return NULL;
  *r = (struct rule){r->julian, (int)v[0], (int)v[1], (int)v[2], 7200};
  return *p == '/' ? hms(p + 1, &r->time) : p;
}

static bool parse_footer(struct mr_zone *z, const char *p)
{
  int64_t v;
  if (!*p || !(p = hms(skip_name(p), &v)))
    return false;
  z->standard = (int32_t)-v;
  z->has_footer = true;
  if (!*p)
    return true;
  p = skip_name(p);
  v = -(int64_t)z->standard - 3600;
  if (*p && *p != ',' && !(p = hms(p, &v)))
    return false;
  z->daylight = (int32_t)-v;
  z->has_daylight = (p = parse_rule(p, &z->start)) && (p = parse_rule(p, &z->end)) && !*p;
  return z->has_daylight;
}

/* Local seconds of the year's change by a rule. */
static int64_t rule_at(const struct rule *r, int64_t year)
{
  int64_t days;
  bool leap = mr_civil_month_days(year, 2) == 29;
  if (r->julian == 1) {
    days = mr_civil_days(year, 1, 1) + r->day - 1 + (leap && r->day >= 60);
  } else if (r->julian) {
    days = mr_civil_days(year, 1, 1) + r->day;
  } else {
    days = mr_civil_days(year, r->month, 1);
    int64_t weekday = mr_floor_div(days + 4, 7);
    weekday = days + 4 - weekday * 7;
    days += (r->day - weekday + 7) % 7 + (r->week - 1) * 7LL;
    if (days >= mr_civil_days(year, r->month, 1) + mr_civil_month_days(year, r->month))
      days -= 7;
  }
  return days * 86400 + r->time;
}

static int32_t footer_offset(const struct mr_zone *z, int64_t utc)
{
  if (!z->has_daylight)
    return z->standard;
  int64_t year = mr_civil_of_days(mr_floor_div(utc + z->standard, 86400)).year;
  int64_t from = rule_at(&z->start, year) - z->standard, to = rule_at(&z->end, year) - z->daylight;
  bool summer = from < to ? utc >= from && utc < to : utc >= from || utc < to;
  return summer ? z->daylight : z->standard;
}

/* ---- TZif */

static uint32_t be32(const uint8_t *p)
{
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const uint8_t *p)
{
  return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

struct header {
  int64_t isut, isstd, leap, times, types, chars;
};

static bool read_header(const uint8_t *p, const uint8_t *end, struct header *h)
{
  if (end - p < 44 || memcmp(p, "TZif", 4))
    return false;
  *h = (struct header){be32(p + 20), be32(p + 24), be32(p + 28),
                       be32(p + 32), be32(p + 36), be32(p + 40)};
  return h->types > 0 && h->times < 10000 && h->types < 256;
}

static int64_t body_size(const struct header *h, int64_t time_size)
{
  return h->times * (time_size + 1) + h->types * 6 + h->chars + h->leap * (time_size + 4) +
         h->isstd + h->isut;
}

static bool read_body(struct mr_zone *z, const uint8_t *p, const struct header *h)
{
  const uint8_t *index = p + h->times * 8, *types = index + h->times;
  z->at = calloc((size_t)h->times + 1, sizeof *z->at);
  z->offset = calloc((size_t)h->times + 1, sizeof *z->offset);
  if (!z->at || !z->offset)
    return false;
  z->n = h->times;
  z->first = (int32_t)be32(types);
  for (int64_t i = 0; i < h->times; i++) {
    if (index[i] >= h->types)
      return false;
    z->at[i] = be64(p + i * 8);
    z->offset[i] = (int32_t)be32(types + index[i] * 6);
  }
  return true;
}

/* Version 2 and above: the 64-bit block, and between newlines the footer. */
static bool read_file(struct mr_zone *z, const uint8_t *p, const uint8_t *end)
{
  struct header h;
  char footer[128];
  if (!read_header(p, end, &h) || p[4] < '2')
    return false;
  p += 44 + body_size(&h, 4);
  if (p >= end || !read_header(p, end, &h))
    return false;
  p += 44;
  if (end - p < body_size(&h, 8) || !read_body(z, p, &h))
    return false;
  p += body_size(&h, 8);
  const uint8_t *stop = p < end && *p == '\n' ? memchr(p + 1, '\n', (size_t)(end - p - 1)) : NULL;
  if (!stop || stop - p > (int64_t)sizeof footer)
    return true;
  memcpy(footer, p + 1, (size_t)(stop - p - 1));
  footer[stop - p - 1] = 0;
  return !footer[0] || parse_footer(z, footer);
}

static bool safe_name(const char *name)
{
  if (!*name || *name == '/' || strstr(name, ".."))
    return false;
  for (const char *c = name; *c; c++)
    if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/", *c))
      return false;
  return strlen(name) < 128;
}

static bool load(struct mr_zone *z, const char *name)
{
  char path[512];
  const char *dir = getenv("TZDIR");
  struct stat info;
  if (!safe_name(name))
    return false;
  snprintf(path, sizeof path, "%s/%s", dir && *dir ? dir : "/usr/share/zoneinfo", name);
  FILE *f = fopen(path, "rbe");
  if (!f)
    return false;
  bool ok = !fstat(fileno(f), &info) && S_ISREG(info.st_mode) && info.st_size < MAX_FILE;
  uint8_t *data = ok ? malloc((size_t)info.st_size + 1) : NULL;
  ok = data && fread(data, 1, (size_t)info.st_size, f) == (size_t)info.st_size &&
       read_file(z, data, data + info.st_size);
  free(data);
  fclose(f);
  return ok;
}

/* +hh, +hhmm, +hh:mm, Z, UTC */
static bool fixed(struct mr_zone *z, const char *name)
{
  int64_t v = 0;
  const char *end;
  z->has_footer = true;
  if (!strcasecmp(name, "UTC") || !strcasecmp(name, "Z") || !strcasecmp(name, "GMT"))
    return true;
  if (name[0] != '+' && name[0] != '-')
    return false;
  if (strspn(name + 1, "0123456789") == 4) {
    end = number(name + 1, &v);
    v = (v / 100 * 3600 + v % 100 * 60) * (name[0] == '-' ? -1 : 1);
  } else {
    end = hms(name, &v);
  }
  if (!end || *end || v < -16 * 3600 || v > 16 * 3600)
    return false;
  z->standard = (int32_t)v;
  return true;
}

struct mr_zone *mr_zone_new(const char *name)
{
  struct mr_zone *z = calloc(1, sizeof *z);
  if (!z || fixed(z, name))
    return z;
  z->has_footer = false;
  if (load(z, name))
    return z;
  mr_zone_free(z);
  return NULL;
}

void mr_zone_free(void *zone)
{
  struct mr_zone *z = zone;
  if (!z)
    return;
  free(z->at);
  free(z->offset);
  free(z);
}

/* Index of the last transition at or before utc, -1: before the first. */
static int64_t find(struct mr_zone *z, int64_t utc)
{
  int64_t lo = 0, hi = z->n;
  if (z->hit >= 0 && z->hit < z->n && z->at[z->hit] <= utc &&
      (z->hit + 1 == z->n || utc < z->at[z->hit + 1]))
    return z->hit;
  while (lo < hi) {
    int64_t mid = (lo + hi) / 2;
    if (z->at[mid] <= utc)
      lo = mid + 1;
    else
      hi = mid;
  }
  return z->hit = lo - 1;
}

int64_t mr_zone_offset(struct mr_zone *z, int64_t utc_us)
{
  int64_t utc = mr_floor_div(utc_us, SECOND), i = find(z, utc);
  if (i == z->n - 1 && z->has_footer)
    return footer_offset(z, utc) * SECOND;
  return (i < 0 ? z->first : z->offset[i]) * SECOND;
}

int64_t mr_zone_to_utc(struct mr_zone *z, int64_t local_us)
{
  int64_t before = mr_zone_offset(z, local_us - MR_DAY_US);
  int64_t after = mr_zone_offset(z, local_us + MR_DAY_US);
  if (mr_zone_offset(z, local_us - after) == after)
    return local_us - after;
  return local_us - before;
}

int mr_zone_check(struct mr_check *c, const struct mr_node *n, const char *name,
                  struct mr_zone **ret)
{
  struct mr_zone *z = mr_zone_new(name);
  if (!z)
    return mr_check_fail(c, n, "no time zone `%.60s` on this system", name);
  *ret = z;
  return mr_check_cleanup(c, mr_zone_free, z);
}
