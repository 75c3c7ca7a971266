// Consumes the topic `orders` as plugins/orders does, in C.
//
// - An order that cannot be read, or has no positive amount: dead letter, with the reason.
// - "status": "payment-pending": the bank is asked again after 1 s, 5 s and 10 s; then the order is a dead letter.
// - Any other: success.
#include "gantry.h"

enum { ID, STATUS, AMOUNT, CURRENCY, MEMBERS };
static const char *const NAMES[MEMBERS] = {"id", "status", "amount", "currency"};

// Whether an optional member is missing, or null.
static bool absent(gantry_json value) { return value.kind == GANTRY_JSON_MISSING || value.kind == GANTRY_JSON_NULL; }

static bool is_status(gantry_json value) {
  return value.kind == GANTRY_JSON_STRING &&
         (gantry_equals(value.text, "created") || gantry_equals(value.text, "payment-pending") ||
          gantry_equals(value.text, "paid") || gantry_equals(value.text, "cancelled"));
}

static bool is_currency(gantry_text text) {
  for (size_t i = 0; i < text.len; i++)
    if (text.ptr[i] < 'A' || text.ptr[i] > 'Z') return false;
  return text.len == 3;
}

static gantry_result consume(const gantry_context *context, const gantry_message *message) {
  (void)context;
  gantry_json order[MEMBERS];
  if (!gantry_json_members(message->body, MEMBERS, NAMES, order)) return gantry_dead_letter("not an order: no JSON object");
  gantry_json id = order[ID], status = order[STATUS], amount = order[AMOUNT], currency = order[CURRENCY];
  int64_t cents = 0;
  if (!is_status(status)) return gantry_dead_letter("not an order: it has no status we know");
  if (!absent(id) && id.kind != GANTRY_JSON_STRING) return gantry_dead_letter("not an order: its id is no string");
  if (!absent(amount) && !gantry_json_int(amount, &cents)) return gantry_dead_letter("not an order: its amount is no whole number");
  if (currency.kind != GANTRY_JSON_MISSING && currency.kind != GANTRY_JSON_STRING)
    return gantry_dead_letter("not an order: its currency is no string");
  if (absent(id) || id.text.len == 0) return gantry_dead_letter("an order without id");
  if (absent(amount)) return gantry_dead_letter("an order without amount");
  if (cents <= 0) return gantry_dead_letter("an order whose amount is not positive");
  if (currency.kind == GANTRY_JSON_STRING && !is_currency(currency.text))
    return gantry_dead_letter("an order in \"%.*s\", which is no currency", (int)currency.text.len, currency.text.ptr);
  if (gantry_equals(status.text, "payment-pending")) {
    // Levels 1, 2, 3: 1 s, 5 s, 10 s.
    uint32_t level = message->reconsume_times < 17 ? message->reconsume_times + 1 : 18;
    return gantry_reconsume_at_level((uint8_t)level);
  }
  return gantry_success();
}

const gantry_listener_definition gantry_listener = {
    .name = "orders",
    .version = "1.0.0",
    .consumer_group = "orders-group",
    .subscriptions = {{.topic = "orders", .tags = "created || paid || payment-pending"}},
    .batch_max_size = 32,
    .max_reconsume_times = 3,
    .consume = consume,
};
