/* SPDX-License-Identifier: Apache-2.0 */
/* Names and methods: what a column's name says, and how rules are read. */
#include <glib.h>
#include "transforms/mask/classify.h"
#include "transforms/mask/method.h"

static void check(const char *name, const char *class)
{
  const char *got = mask_class_name(mask_classify(name, strlen(name)));
  if (strcmp(got, class))
    g_error("%s: `%s`, not `%s`", name, got, class);
}

static void test_pii(void)
{
  static const char *const names[] = {"email",
                                      "EMAIL",
                                      "Email",
                                      "user_email",
                                      "userEmail",
                                      "email2",
                                      "emails",
                                      "e_mail",
                                      "eMail",
                                      "e-mail",
                                      "useremail",
                                      "emailAddress",
                                      "phone",
                                      "user_phone",
                                      "userPhone",
                                      "phone_number",
                                      "phonenumber",
                                      "telephone",
                                      "PHONE1",
                                      "phones",
                                      "address",
                                      "home_address",
                                      "homeAddress",
                                      "addresses",
                                      "address2",
                                      "street addr",
                                      "credit_card",
                                      "creditCard",
                                      "credit_card_number",
                                      "creditcard",
                                      "card_number",
                                      "ip_address",
                                      "ipAddress",
                                      "IPAddress",
                                      "ipaddress",
                                      "client_ip",
                                      "ipv4",
                                      "src.ip",
                                      "iPhone"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    check(names[i], "pii");
}

static void test_phi(void)
{
  static const char *const names[] = {"medical_record",
                                      "medicalRecord",
                                      "medical_record_number",
                                      "medicalrecord",
                                      "mrn",
                                      "diagnosis",
                                      "diagnoses",
                                      "primaryDiagnosis",
                                      "prescription",
                                      "prescriptions",
                                      "patient_id",
                                      "patientId",
                                      "PatientID",
                                      "patientid",
                                      "ssn",
                                      "SSN",
                                      "user_ssn",
                                      "userSSN",
                                      "social_security_number",
                                      "ssn_email",
                                      "email_of_patient_id"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    check(names[i], "phi");
}

static void test_clear(void)
{
  static const char *const names[] = {
      "",          "city",         "class_name",   "classname", "price",
      "trade_id",  "recipient_id", "ship",         "zip",       "tip",
      "country",   "home_mail",    "subscription", "lesson",    "the_mail",
      "session",   "patient",      "record",       "card",      "credit_rating",
      "_timestamp"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    check(names[i], "");
}

/* A long name hides nothing, wherever the pattern stands. */
static void test_long(void)
{
  for (int before = 0; before < 700; before += 7) {
    g_autofree char *pad = g_strnfill((gsize)before, 'x'),
                    *name = g_strdup_printf("%s_patient_id_%s", pad, pad);
    check(name, "phi");
  }
}

static void check_method(const char *text, enum mask_kind kind, int first, int last)
{
  struct mask_method m;
  struct mr_error err = {.size = sizeof err};
  g_assert_cmpint(mask_method_parse(text, &m, &err), ==, MR_OK);
  g_assert_cmpint(m.kind, ==, kind);
  g_assert_cmpint(m.first, ==, first);
  g_assert_cmpint(m.last, ==, last);
}

static void test_methods(void)
{
  check_method("keep", MASK_KEEP, 0, 0);
  check_method("hash", MASK_HASH, 0, 0);
  check_method("hash(mail)", MASK_HASH, 0, 0);
  check_method("tokenize", MASK_TOKENIZE, 0, 0);
  check_method("null", MASK_NULL, 0, 0);
  check_method("redact(gone (all))", MASK_REDACT, 0, 0);
  check_method("partial(4)", MASK_PARTIAL, 0, 4);
  check_method("partial(2,4)", MASK_PARTIAL, 2, 4);
  check_method("partial( 2 , 0 )", MASK_PARTIAL, 2, 0);
  check_method("truncate(month)", MASK_TRUNCATE, 0, 0);
}

static void test_methods_refused(void)
{
  static const char *const texts[] = {"",
                                      "Hash",
                                      "hsah",
                                      "none",
                                      "dropped",
                                      "hash()",
                                      "hash(a",
                                      "keep(1)",
                                      "null()",
                                      "partial",
                                      "partial()",
                                      "partial(0)",
                                      "partial(-1)",
                                      "partial(65)",
                                      "partial(1,2,3)",
                                      "partial(100)",
                                      "partial(4",
                                      "truncate",
                                      "truncate(week)",
                                      "truncate()",
                                      "partial(4) ",
                                      "partial(0,0)",
                                      "truncate(months)",
                                      "partial(x)"};
  for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
    struct mask_method m = {.kind = MASK_DROP};
    struct mr_error err = {.size = sizeof err};
    if (mask_method_parse(texts[i], &m, &err) != MR_BADCONF)
      g_error("`%s` was taken", texts[i]);
    g_assert_cmpint(m.kind, ==, MASK_DROP);
    g_assert_cmpint(strlen(err.msg), >, 10);
  }
}

static void test_rules(void)
{
  static const char *const keys[] = {"*_note", "city", "*", "_h*"}, *const items[] = {
                                                                        "redact", "keep", "hash",
                                                                        "null"};
  struct mr_list rules = {items, keys, 4};
  size_t i;
  g_assert_cmpstr(mask_rule_find(&rules, "city", &i), ==, "keep");
  g_assert_cmpuint(i, ==, 1);
  g_assert_cmpstr(mask_rule_find(&rules, "a_note", &i), ==, "redact");
  g_assert_cmpstr(mask_rule_find(&rules, "user.first_note", &i), ==, "redact");
  g_assert_cmpstr(mask_rule_find(&rules, "note", &i), ==, "hash");
  g_assert_cmpstr(mask_rule_find(&rules, "_headers", &i), ==, "null");
  g_assert_null(mask_rule_find(&rules, "_key", &i));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mask/names/pii", test_pii);
  g_test_add_func("/mask/names/phi", test_phi);
  g_test_add_func("/mask/names/clear", test_clear);
  g_test_add_func("/mask/names/long", test_long);
  g_test_add_func("/mask/methods/read", test_methods);
  g_test_add_func("/mask/methods/refused", test_methods_refused);
  g_test_add_func("/mask/rules/order", test_rules);
  return g_test_run();
}
