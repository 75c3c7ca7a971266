// `throw` crashes, for C has nothing to throw; `spin` never ends; `garbage` leaves garbage; the rest is a success.
#include "gantry.h"

#include <stdio.h>
#include <stdlib.h>

static gantry_result consume(const gantry_context *context, const gantry_message *message) {
  (void)context;
  if (gantry_equals(message->body, "throw")) {
    fputs("it is broken\n", stderr);
    abort();
  }
  if (gantry_equals(message->body, "spin"))
    for (volatile unsigned turns = 0;; turns++) continue;
  if (gantry_equals(message->body, "garbage"))
    for (int i = 0; i < 1000; i++) free(malloc(4096));
  return gantry_success();
}

const gantry_listener_definition gantry_listener = {
    .name = "faulty",
    .version = "1",
    .consumer_group = "faulty",
    .subscriptions = {{.topic = "faulty"}},
    .batch_max_size = 32,
    .consume = consume,
};
