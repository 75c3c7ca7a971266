// Consumes the topic NAME.
#include "gantry.h"

static gantry_result consume(const gantry_context *context, const gantry_message *message) {
  (void)context;
  if (message->body.len == 0) return gantry_dead_letter("an empty message");
  // Not now: return gantry_reconsume_later();
  return gantry_success();
}

const gantry_listener_definition gantry_listener = {
    .name = "NAME",
    .version = "0.1.0",
    .consumer_group = "NAME-group",
    .subscriptions = {{.topic = "NAME", .tags = "*"}},
    .batch_max_size = 32,
    .consume = consume,
};
