// A listener, a selector and a strategy in one. A message of `throw` crashes, for C has nothing to throw; `spin` never ends;
// `garbage` leaves garbage; `where` goes to the dead letters with what holds for its batch; the rest is a success. A message that is sent goes to the queue as many places on as its
// argument has bytes, and `fail` to none. Queues are dealt out to the members one by one.
#include "gantry.h"

#include <stdio.h>
#include <stdlib.h>

static gantry_result consume(const gantry_context *context, const gantry_message *message) {
  if (gantry_equals(message->body, "where")) {
    gantry_text group = gantry_consumer_group(context), topic = gantry_topic(context), broker = gantry_broker_name(context);
    return gantry_dead_letter("%.*s %.*s %.*s %u", (int)group.len, group.ptr, (int)topic.len, topic.ptr, (int)broker.len,
                              broker.ptr, (unsigned)gantry_queue_id(context));
  }
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

static size_t choose(const gantry_queue *queues, size_t count, const gantry_outgoing *message, gantry_text arg) {
  (void)queues, (void)message;
  return gantry_equals(arg, "fail") ? count : arg.len % count;
}

const gantry_selector_definition gantry_selector = {.name = "faulty", .version = "1", .select = choose};

static bool owns(size_t queue, size_t queues, size_t client, size_t clients) {
  (void)queues;
  return queue % clients == client;
}

const gantry_strategy_definition gantry_strategy = {.name = "faulty", .version = "1", .owns = owns};
