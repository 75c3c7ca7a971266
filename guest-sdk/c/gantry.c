// Messages and results, apart from WebAssembly: this file compiles anywhere, and is tested there.
#include "gantry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool gantry_equals(gantry_text text, const char *other) {
  size_t length = strlen(other);
  return text.len == length && memcmp(text.ptr, other, length) == 0;
}

// Bytes still to be read; `ok` turns false where there are too few, and every later answer is 0.
typedef struct {
  const uint8_t *at;
  size_t left;
  bool ok;
} reader;

static const uint8_t *take(reader *r, size_t count) {
  if (!r->ok || count > r->left) {
    r->ok = false;
    return NULL;
  }
  const uint8_t *taken = r->at;
  r->at += count;
  r->left -= count;
  return taken;
}

static uint64_t number(reader *r, size_t bytes) {
  const uint8_t *digits = take(r, bytes);
  uint64_t value = 0;
  for (size_t i = 0; digits != NULL && i < bytes; i++) value = value << 8 | digits[i];
  return value;
}

static gantry_text text(reader *r, size_t count) {
  const uint8_t *bytes = take(r, count);
  return (gantry_text){(const char *)bytes, bytes == NULL ? 0 : count};
}

enum { MAGIC_V1 = 0xDAA320A7u, MAGIC_V2 = 0xDAA320ABu, BORN_HOST_V6 = 1 << 4, STORE_HOST_V6 = 1 << 5 };

bool gantry_next_message(gantry_text *batch, gantry_message *message) {
  reader whole = {(const uint8_t *)batch->ptr, batch->len, true};
  size_t size = number(&whole, 4);
  if (!whole.ok || size < 4 || size > batch->len) return false;
  reader r = {whole.at, size - 4, true};
  *message = (gantry_message){0};
  uint32_t magic = number(&r, 4);
  take(&r, 4 + 4 + 4); // body CRC, queue id, flag
  message->queue_offset = number(&r, 8);
  take(&r, 8); // physical offset
  uint32_t flags = number(&r, 4);
  message->born_timestamp = number(&r, 8);
  take(&r, (flags & BORN_HOST_V6 ? 16 : 4) + 4);
  message->store_timestamp = number(&r, 8);
  take(&r, (flags & STORE_HOST_V6 ? 16 : 4) + 4);
  message->reconsume_times = number(&r, 4);
  take(&r, 8); // prepared transaction offset
  message->body = text(&r, number(&r, 4));
  take(&r, number(&r, magic == MAGIC_V2 ? 2 : 1)); // topic
  message->packed_properties = text(&r, number(&r, 2));
  if (!r.ok || (magic != MAGIC_V1 && magic != MAGIC_V2)) return false;
  batch->ptr += size;
  batch->len -= size;
  return true;
}

// The next of `name 1 value 2 name 1 value 2`, RocketMQ's own properties included; the last may do without its 2.
bool gantry_next_property(const gantry_message *message, size_t *cursor, gantry_text *name, gantry_text *value) {
  gantry_text packed = message->packed_properties;
  while (*cursor < packed.len) {
    const char *begin = packed.ptr + *cursor;
    size_t left = packed.len - *cursor;
    const char *end = memchr(begin, 2, left);
    size_t length = end == NULL ? left : (size_t)(end - begin);
    *cursor += end == NULL ? length : length + 1;
    const char *middle = memchr(begin, 1, length);
    if (middle == NULL) continue;
    *name = (gantry_text){begin, (size_t)(middle - begin)};
    *value = (gantry_text){middle + 1, length - name->len - 1};
    return true;
  }
  return false;
}

bool gantry_property(const gantry_message *message, const char *wanted, gantry_text *value) {
  size_t cursor = 0;
  gantry_text name;
  while (gantry_next_property(message, &cursor, &name, value))
    if (gantry_equals(name, wanted)) return true;
  return false;
}

gantry_result gantry_success(void) { return (gantry_result){.kind = GANTRY_SUCCESS}; }

gantry_result gantry_reconsume_later(void) { return (gantry_result){.kind = GANTRY_RECONSUME_LATER}; }

gantry_result gantry_reconsume_at_level(uint8_t level) {
  return (gantry_result){.kind = GANTRY_RECONSUME_AT_LEVEL, .delay = level};
}

gantry_result gantry_reconsume_after(uint64_t milliseconds) {
  return (gantry_result){.kind = GANTRY_RECONSUME_AFTER, .delay = milliseconds};
}

// How many bytes a character of UTF-8 has that begins here; 0 where it is none, or not whole.
static size_t character(const unsigned char *at, size_t left) {
  size_t bytes = at[0] < 0x80 ? 1 : at[0] >= 0xC2 && at[0] < 0xE0 ? 2 : at[0] >= 0xE0 && at[0] < 0xF0 ? 3 : at[0] >= 0xF0 && at[0] < 0xF5 ? 4 : 0;
  if (bytes == 0 || bytes > left) return 0;
  for (size_t i = 1; i < bytes; i++)
    if ((at[i] & 0xC0) != 0x80) return 0;
  // Longer forms than needed, surrogates, and what is past the last character.
  if (at[0] == 0xE0 && at[1] < 0xA0) return 0;
  if (at[0] == 0xED && at[1] >= 0xA0) return 0;
  if (at[0] == 0xF0 && at[1] < 0x90) return 0;
  if (at[0] == 0xF4 && at[1] >= 0x90) return 0;
  return bytes;
}

// A text that comes from a message may be anything: what is not UTF-8 becomes question marks, for the host takes no other.
static void make_readable(char *text, size_t length) {
  for (size_t i = 0; i < length;) {
    size_t bytes = character((const unsigned char *)text + i, length - i);
    if (bytes == 0) text[i] = '?';
    i += bytes == 0 ? 1 : bytes;
  }
}

gantry_result gantry_dead_letter(const char *format, ...) {
  enum { LONGEST = 1023 };
  gantry_result result = {.kind = GANTRY_DEAD_LETTER};
  char *reason = malloc(LONGEST + 1);
  if (reason == NULL) return result;
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(reason, LONGEST + 1, format, arguments);
  va_end(arguments);
  size_t kept = length < 0 ? 0 : length > LONGEST ? LONGEST : (size_t)length;
  make_readable(reason, kept);
  result.reason = (gantry_text){reason, kept};
  return result;
}
