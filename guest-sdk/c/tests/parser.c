// The parser of packed batches and of JSON, natively: what they read, and that they never read past the end.
#include "../gantry.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t put(unsigned char *to, size_t at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) to[at + (size_t)i] = bytes - 1 - i > 7 ? 0 : (unsigned char)(value >> 8 * (bytes - 1 - i));
  return at + (size_t)bytes;
}

static size_t put_text(unsigned char *to, size_t at, const char *text) {
  memcpy(to + at, text, strlen(text));
  return at + strlen(text);
}

// One message; `v2` in the layout with a long topic and IPv6 hosts.
static size_t message(unsigned char *to, const char *body, const char *properties, bool v2) {
  size_t at = put(to, 4, v2 ? 0xDAA320AB : 0xDAA320A7, 4);
  at = put(to, at, 1, 4);                  // body CRC
  at = put(to, at, 3, 4);                  // queue id
  at = put(to, at, 0, 4);                  // flag
  at = put(to, at, 42, 8);                 // queue offset
  at = put(to, at, 4242, 8);               // physical offset
  at = put(to, at, v2 ? 0x30 : 0, 4);      // system flag
  at = put(to, at, 1700000000001, 8);      // born
  at = put(to, at, 0, v2 ? 16 : 4), at = put(to, at, 10911, 4);
  at = put(to, at, 1700000000002, 8);      // stored
  at = put(to, at, 0, v2 ? 16 : 4), at = put(to, at, 10911, 4);
  at = put(to, at, 2, 4);                  // reconsume times
  at = put(to, at, 0, 8);                  // transaction
  at = put(to, at, strlen(body), 4), at = put_text(to, at, body);
  at = put(to, at, 6, v2 ? 2 : 1), at = put_text(to, at, "orders");
  at = put(to, at, strlen(properties), 2), at = put_text(to, at, properties);
  put(to, 0, at, 4);
  return at;
}

// Reads a copy that ends exactly at the end of its memory, so that a sanitizer sees each byte too many.
static size_t count(const unsigned char *bytes, size_t length) {
  char *copy = malloc(length == 0 ? 1 : length);
  assert(copy != NULL);
  memcpy(copy, bytes, length);
  gantry_text rest = {copy, length};
  gantry_message message;
  gantry_text name, value;
  size_t found = 0, read = 0;
  while (gantry_next_message(&rest, &message)) {
    found++;
    for (size_t i = 0; i < message.body.len; i++) read += (unsigned char)message.body.ptr[i];
    size_t cursor = 0;
    while (gantry_next_property(&message, &cursor, &name, &value)) {
      for (size_t i = 0; i < name.len; i++) read += (unsigned char)name.ptr[i];
      for (size_t i = 0; i < value.len; i++) read += (unsigned char)value.ptr[i];
    }
  }
  free(copy);
  // Else nothing would need to be read.
  volatile size_t kept = read;
  (void)kept;
  return found;
}

static void reads_both_layouts(void) {
  unsigned char bytes[1024];
  size_t length = message(bytes, "{}", "TAGS\1paid\2KEYS\1k1 k2\2color\1blue", false);
  length += message(bytes + length, "second", "", true);
  gantry_text rest = {(char *)bytes, length}, value;
  gantry_message it;
  assert(gantry_next_message(&rest, &it));
  assert(gantry_equals(it.body, "{}") && it.queue_offset == 42 && it.reconsume_times == 2);
  assert(it.born_timestamp == 1700000000001 && it.store_timestamp == 1700000000002);
  assert(gantry_property(&it, "TAGS", &value) && gantry_equals(value, "paid"));
  assert(gantry_property(&it, "color", &value) && gantry_equals(value, "blue"));
  assert(!gantry_property(&it, "colo", &value) && !gantry_property(&it, "", &value));
  assert(gantry_next_message(&rest, &it) && gantry_equals(it.body, "second"));
  assert(!gantry_next_message(&rest, &it) && rest.len == 0);
}

static void never_reads_past_the_end(void) {
  unsigned char good[1024], bad[1024];
  size_t length = message(good, "body", "A\1b\2C\1d\2", false);
  length += message(good + length, "more", "E\1f\2", true);
  for (size_t cut = 0; cut < length; cut++) assert(count(good, cut) < 2);
  assert(count(good, length) == 2);
  srand(7);
  for (int round = 0; round < 200000; round++) {
    memcpy(bad, good, length);
    for (int changes = 1 + rand() % 4; changes > 0; changes--) bad[(size_t)rand() % length] = (unsigned char)rand();
    assert(count(bad, length) <= 3);
  }
}

static bool json(const char *text, gantry_json *values) {
  static const char *const NAMES[2] = {"a", "b"};
  return gantry_json_members((gantry_text){text, strlen(text)}, 2, NAMES, values);
}

static void reads_json_as_strictly_as_a_parser(void) {
  gantry_json v[2];
  int64_t number;
  assert(json(" {\"a\": -17, \"x\": [1, {\"b\": \"no\"}, null], \"b\": \"p\\u0061id\" } ", v));
  assert(gantry_json_int(v[0], &number) && number == -17);
  assert(v[1].kind == GANTRY_JSON_STRING && gantry_equals(v[1].text, "p\\u0061id"));
  assert(json("{}", v) && v[0].kind == GANTRY_JSON_MISSING);
  assert(json("{\"a\":9223372036854775807,\"b\":-9223372036854775808}", v));
  assert(gantry_json_int(v[0], &number) && number == INT64_MAX);
  assert(gantry_json_int(v[1], &number) && number == INT64_MIN);
  assert(json("{\"a\":9223372036854775808,\"b\":1.5}", v));
  assert(!gantry_json_int(v[0], &number) && !gantry_json_int(v[1], &number));
  const char *bad[] = {"", "1", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":01}", "{\"a\":1}x", "{\"a\":\"\\x\"}",
                       "{\"a\":\"\n\"}", "{\"a\":tru}", "{\"a\":1,\"a\":2}", "{'a':1}", "{\"a\":.5}", "{\"a\":\"\\u12\"}", "{\"a\":\"",
                       "{\"a\":1.}", "{\"a\":1e}", "{\"a\":-}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert(!json(bad[i], v));
  char deep[400] = "{\"a\":";
  memset(deep + 5, '[', 200), memset(deep + 205, ']', 100);
  assert(!json(deep, v));
}

static void a_reason_is_always_utf8(void) {
  gantry_result result = gantry_dead_letter("%s", "gr\xC3\xBC\xC3 \xFF\xED\xA0\x80");
  assert(result.kind == GANTRY_DEAD_LETTER && gantry_equals(result.reason, "gr\xC3\xBC? ????"));
  free((char *)result.reason.ptr);
  char flood[3000];
  memset(flood, 'x', sizeof flood), flood[1022] = (char)0xC3, flood[1023] = (char)0xBC, flood[2999] = 0;
  result = gantry_dead_letter("%s", flood);
  assert(result.reason.len == 1023 && result.reason.ptr[1022] == '?');
  free((char *)result.reason.ptr);
}

int main(void) {
  reads_both_layouts();
  never_reads_past_the_end();
  reads_json_as_strictly_as_a_parser();
  a_reason_is_always_utf8();
  puts("good");
  return 0;
}
