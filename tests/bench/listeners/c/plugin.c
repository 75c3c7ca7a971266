// The sample plugin `minimal` in C, for the benchmark.
#include "gantry.h"

static gantry_result consume(const gantry_context *context, const gantry_message *message) {
  (void)context;
  if (message->body.len == 0) return gantry_dead_letter("a greeting without words");
  return gantry_success();
}

const gantry_listener_definition gantry_listener = {
    .name = "greetings-c",
    .version = "0.1.0",
    .consumer_group = "greetings-group",
    .subscriptions = {{.topic = "greetings", .tags = "*"}},
    .consume = consume,
};
