// Sends all messages with the same argument to the same queue.
#include "gantry.h"

static size_t choose(const gantry_queue *queues, size_t count, const gantry_outgoing *message, gantry_text arg) {
  (void)queues, (void)message;
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < arg.len; i++) hash = (hash ^ (unsigned char)arg.ptr[i]) * 16777619u;
  return hash % count;
}

const gantry_selector_definition gantry_selector = {.name = "NAME", .version = "0.1.0", .select = choose};
