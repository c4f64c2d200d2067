/* SPDX-License-Identifier: Apache-2.0 */
/* mask: hides what columns hold, by rules and by what their names say. */
#include "apply.h"
#include <stdio.h>
#include <stdlib.h>

#define KEY_MIN 32    /* bytes */
#define KEY_ID_MAX 64 /* characters */

struct mask {
  const struct mask_conf *conf;
  const struct mr_host *host;
  struct mask_tools tools;
  char key_id[KEY_ID_MAX + 1];
  struct mask_plan plan;
  bool known; /* plan is made */
};

static const char *const classify_choices[] = {"auto", "off", NULL};
#define AT(field) offsetof(struct mask_conf, field)
static const struct mr_opt options[] = {
    {"key", MR_TEXT, MR_REQUIRED | MR_SECRET, AT(key), 0, NULL, NULL, NULL, NULL,
     "key of hash and tokenize, at least 32 bytes; best ${file:PATH}"},
    {"key_id", MR_TEXT, 0, AT(key_id), 0, NULL, NULL, NULL, NULL,
     "stands in each token to tell keys apart; made from the key when left out"},
    {"classify", MR_CHOICE, 0, AT(classify), 0, NULL, "auto", classify_choices, NULL,
     "auto: columns without a rule are masked by what their names say"},
    {"rules", MR_TEXT, MR_KEYED, AT(rules), 0, NULL, NULL, NULL, NULL,
     "column: hash, tokenize, redact, partial(n), partial(a,b), null, truncate(part) or keep"},
    {0}};

static int bad(struct mr_error *err, const char *option, const char *msg)
{
  snprintf(err->option, sizeof err->option, "%s", option);
  snprintf(err->msg, sizeof err->msg, "%s", msg);
  return MR_BADCONF;
}

static bool key_id_ok(const char *id)
{
  size_t n = strlen(id);
  return n >= 1 && n <= KEY_ID_MAX &&
         strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == n;
}

static int validate(const void *conf, struct mr_error *err)
{
  const struct mask_conf *c = conf;
  if (!c->key || strlen(c->key) < KEY_MIN)
    return bad(err, "key",
               "the key is too short: it needs at least 32 bytes (openssl rand -base64 48 makes a "
               "good one)");
  if (c->key_id && !key_id_ok(c->key_id))
    return bad(err, "key_id", "up to 64 letters, digits, _ and -");
  return mask_rules_check(&c->rules, err);
}

static void mask_close(void *self)
{
  struct mask *m = self;
  if (!m)
    return;
  mr_hmac_free(m->tools.hmac);
  mask_buf_done(&m->tools.buf);
  mask_plan_done(&m->plan);
  free(m);
}

static int set_key(struct mask *m, struct mr_error *err)
{
  const char *key = m->conf->key;
  m->tools.hmac = mr_hmac_new(key, strlen(key));
  m->tools.key_id = m->key_id;
  if (m->conf->key_id)
    memcpy(m->key_id, m->conf->key_id, strlen(m->conf->key_id) + 1);
  else if (!mr_hmac_key_id(key, strlen(key), m->key_id))
    mr_hmac_free(m->tools.hmac), m->tools.hmac = NULL;
  if (m->tools.hmac)
    return MR_OK;
  snprintf(err->msg, sizeof err->msg, "no HMAC-SHA-256: libcrypto has none, or memory is short");
  return MR_FATAL;
}

static int set_schema(struct mask *m, const struct ArrowSchema *in, bool first,
                      struct mr_error *err)
{
  struct mask_plan plan;
  int rc = mask_plan_init(&plan, m->conf, in, first, err);
  if (rc < 0)
    return rc;
  if (m->known)
    mask_plan_done(&m->plan);
  m->plan = plan;
  m->known = true;
  return MR_OK;
}

static int mask_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  int rc = validate(o->conf, err);
  if (rc < 0)
    return rc;
  struct mask *m = calloc(1, sizeof *m);
  if (!m) {
    snprintf(err->msg, sizeof err->msg, "out of memory");
    return MR_FATAL;
  }
  m->conf = o->conf;
  m->host = o->host;
  rc = set_key(m, err);
  if (rc >= 0 && o->in)
    rc = set_schema(m, o->in, true, err);
  if (rc < 0)
    mask_close(m);
  else
    *self = m;
  return rc;
}

static int mask_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct mask *m = self;
  struct ArrowSchema copy;
  if (!m->known)
    return MR_IDLE;
  if (mr_schema_copy(&m->plan.out, &copy)) {
    *give = copy;
    return MR_OK;
  }
  mr_schema_release(&copy);
  snprintf(err->msg, sizeof err->msg, "out of memory");
  return MR_FATAL;
}

static int mask_start(void *self, struct mr_error *err)
{
  return MR_OK;
}

static int mask_evolve(void *self, const struct ArrowSchema *in, struct mr_error *err)
{
  struct mask *m = self;
  return set_schema(m, in, !m->known, err);
}

static int mask_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                      struct mr_error *err)
{
  struct mask *m = self;
  struct ArrowArray rows;
  int rc = mask_rows(&m->tools, &m->plan, &take->rows, &rows, err);
  if (rc < 0)
    return rc;
  give->lane = take->lane;
  give->upto = take->upto;
  give->watermark_us = take->watermark_us;
  mr_array_move(&rows, &give->rows);
  return MR_OK;
}

static int mask_explain(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  static const char later[] =
      "the columns are not known before the first rows: each is classified when it appears\n";
  struct mask_plan plan;
  if (!o->in)
    return put(out, later, sizeof later - 1);
  int rc = mask_plan_init(&plan, o->conf, o->in, true, err);
  if (rc < 0)
    return rc;
  rc = mask_plan_explain(&plan, put, out);
  mask_plan_done(&plan);
  return rc;
}

static const struct mr_transform transform = {
    .size = sizeof transform,
    .open = mask_open,
    .schema = mask_schema,
    .start = mask_start,
    .apply = mask_apply,
    .evolve = mask_evolve,
    .close = mask_close,
};

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct mask_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "mask",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary = "hides values: keyed hash, token, redaction, parts; by rules and by column names",
    .options = options,
    .transform = &transform,
    .validate = validate,
    .explain = mask_explain,
    .flags = MR_PARTIAL | MR_RANGES,
};
