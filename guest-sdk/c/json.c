// Enough JSON to read the members of an object, checked as strictly as a full parser would.
#include "gantry.h"

#include <string.h>

enum { DEEPEST = 64 };

typedef struct {
  const char *at;
  const char *end;
} cursor;

static void skip_space(cursor *c) {
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r')) c->at++;
}

// Takes one character if it is the next, spaces apart.
static bool next_is(cursor *c, char wanted) {
  skip_space(c);
  if (c->at == c->end || *c->at != wanted) return false;
  c->at++;
  return true;
}

static bool is_digit(char character) { return character >= '0' && character <= '9'; }

static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

static bool string(cursor *c, gantry_text *inside) {
  if (!next_is(c, '"')) return false;
  const char *begin = c->at;
  for (; c->at < c->end && *c->at != '"'; c->at++) {
    if ((unsigned char)*c->at < 0x20) return false;
    if (*c->at != '\\') continue;
    if (++c->at == c->end || *c->at == '\0' || strchr("\"\\/bfnrtu", *c->at) == NULL) return false;
    if (*c->at != 'u') continue;
    for (int i = 0; i < 4; i++)
      if (++c->at >= c->end || !is_hex(*c->at)) return false;
  }
  if (c->at >= c->end) return false;
  *inside = (gantry_text){begin, (size_t)(c->at - begin)};
  c->at++;
  return true;
}

static bool digits(cursor *c) {
  const char *begin = c->at;
  while (c->at < c->end && is_digit(*c->at)) c->at++;
  return c->at > begin;
}

static bool number(cursor *c) {
  if (c->at < c->end && *c->at == '-') c->at++;
  bool zero = c->at < c->end && *c->at == '0';
  if (zero) c->at++;
  if (!zero && !digits(c)) return false;
  if (c->at < c->end && *c->at == '.') {
    c->at++;
    if (!digits(c)) return false;
  }
  if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
    c->at++;
    if (c->at < c->end && (*c->at == '+' || *c->at == '-')) c->at++;
    if (!digits(c)) return false;
  }
  return true;
}

static bool word(cursor *c, const char *wanted) {
  size_t length = strlen(wanted);
  if ((size_t)(c->end - c->at) < length || memcmp(c->at, wanted, length) != 0) return false;
  c->at += length;
  return true;
}

static bool value(cursor *c, int depth, gantry_json *read);

static bool array(cursor *c, int depth) {
  gantry_json element;
  if (!next_is(c, '[')) return false;
  if (next_is(c, ']')) return true;
  do {
    if (!value(c, depth, &element)) return false;
  } while (next_is(c, ','));
  return next_is(c, ']');
}

// An object; those of its members that are named are kept.
static bool object(cursor *c, int depth, size_t count, const char *const *names, gantry_json *values) {
  if (!next_is(c, '{')) return false;
  if (next_is(c, '}')) return true;
  do {
    gantry_text name;
    gantry_json member;
    if (!string(c, &name) || !next_is(c, ':') || !value(c, depth, &member)) return false;
    for (size_t i = 0; i < count; i++) {
      if (!gantry_equals(name, names[i])) continue;
      if (values[i].kind != GANTRY_JSON_MISSING) return false;
      values[i] = member;
    }
  } while (next_is(c, ','));
  return next_is(c, '}');
}

static bool value(cursor *c, int depth, gantry_json *read) {
  if (depth >= DEEPEST) return false;
  skip_space(c);
  if (c->at == c->end) return false;
  const char *begin = c->at;
  bool good;
  switch (*begin) {
  case '{': read->kind = GANTRY_JSON_OBJECT, good = object(c, depth + 1, 0, NULL, NULL); break;
  case '[': read->kind = GANTRY_JSON_ARRAY, good = array(c, depth + 1); break;
  case '"': read->kind = GANTRY_JSON_STRING; return string(c, &read->text);
  case 't': read->kind = GANTRY_JSON_BOOL, good = word(c, "true"); break;
  case 'f': read->kind = GANTRY_JSON_BOOL, good = word(c, "false"); break;
  case 'n': read->kind = GANTRY_JSON_NULL, good = word(c, "null"); break;
  default: read->kind = GANTRY_JSON_NUMBER, good = number(c);
  }
  read->text = (gantry_text){begin, (size_t)(c->at - begin)};
  return good;
}

bool gantry_json_members(gantry_text text, size_t count, const char *const *names, gantry_json *values) {
  for (size_t i = 0; i < count; i++) values[i] = (gantry_json){GANTRY_JSON_MISSING, {NULL, 0}};
  cursor c = {text.ptr, text.ptr + text.len};
  if (!object(&c, 0, count, names, values)) return false;
  skip_space(&c);
  return c.at == c.end;
}

bool gantry_json_int(gantry_json value, int64_t *number) {
  if (value.kind != GANTRY_JSON_NUMBER) return false;
  bool negative = value.text.len > 0 && value.text.ptr[0] == '-';
  int64_t sum = 0;
  for (size_t i = negative; i < value.text.len; i++) {
    char digit = value.text.ptr[i];
    if (!is_digit(digit) || __builtin_mul_overflow(sum, 10, &sum) || __builtin_sub_overflow(sum, digit - '0', &sum)) return false;
  }
  if (!negative && sum == INT64_MIN) return false;
  *number = negative ? sum : -sum;
  return true;
}
