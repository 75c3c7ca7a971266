// The roles of a plugin in the component model's terms: what the bindings call, out of what the author defined.
#include "bindings.h"
#include "gantry.h"

#include <stdlib.h>
#include <string.h>

// The build puts the world's type into the module by itself; bindings ask for it under this name.
void __component_type_object_force_link_bindings(void) {}

// Memory for an answer; a plugin without memory traps, and the host makes another instance.
static void *need(size_t count, size_t size) {
  void *memory = calloc(count == 0 ? 1 : count, size);
  if (memory == NULL) __builtin_trap();
  return memory;
}

static bindings_string_t owned(const char *text) {
  bindings_string_t copy;
  bindings_string_dup(&copy, text == NULL ? "" : text);
  return copy;
}

static gantry_text borrowed(bindings_string_t text) { return (gantry_text){(const char *)text.ptr, text.len}; }

#ifdef GANTRY_LISTENER

#define EXPORTED(name) exports_gantry_rocketmq_lean_listener_##name

static void describe_subscription(const gantry_subscription *from, gantry_rocketmq_types_subscription_t *to) {
  to->topic = owned(from->topic);
  if (from->sql92 != NULL) {
    to->expression.tag = GANTRY_ROCKETMQ_TYPES_FILTER_EXPRESSION_SQL92;
    to->expression.val.sql92 = owned(from->sql92);
  } else {
    to->expression.tag = GANTRY_ROCKETMQ_TYPES_FILTER_EXPRESSION_TAG;
    to->expression.val.tag = owned(from->tags == NULL ? "*" : from->tags);
  }
}

void EXPORTED(describe)(gantry_rocketmq_types_listener_description_t *to) {
  const gantry_listener_definition *from = &gantry_listener;
  size_t count = 0;
  while (count < 16 && from->subscriptions[count].topic != NULL) count++;
  memset(to, 0, sizeof *to);
  to->name = owned(from->name);
  to->version = owned(from->version);
  to->consumer_group = owned(from->consumer_group);
  to->subscriptions.ptr = need(count, sizeof *to->subscriptions.ptr);
  to->subscriptions.len = count;
  for (size_t i = 0; i < count; i++) describe_subscription(&from->subscriptions[i], &to->subscriptions.ptr[i]);
  to->message_model = from->broadcasting;
  to->consume_mode = from->orderly;
  to->consume_from_where.tag = from->from_first_offset;
  to->consume_message_batch_max_size.is_some = from->batch_max_size != 0;
  to->consume_message_batch_max_size.val = from->batch_max_size;
  to->max_reconsume_times.is_some = from->max_reconsume_times != 0;
  to->max_reconsume_times.val = from->max_reconsume_times < 0 ? 0 : (uint32_t)from->max_reconsume_times;
  to->consume_timeout.is_some = from->consume_timeout != 0;
  to->consume_timeout.val = from->consume_timeout;
}

static void answer(gantry_result from, gantry_rocketmq_types_consume_result_t *to) {
  to->tag = GANTRY_ROCKETMQ_TYPES_CONSUME_RESULT_RECONSUME_LATER;
  switch (from.kind) {
  case GANTRY_SUCCESS:
    to->tag = GANTRY_ROCKETMQ_TYPES_CONSUME_RESULT_SUCCESS;
    break;
  case GANTRY_RECONSUME_LATER:
    to->val.reconsume_later.tag = GANTRY_ROCKETMQ_TYPES_RETRY_DELAY_BY_ATTEMPTS;
    break;
  case GANTRY_RECONSUME_AT_LEVEL:
    to->val.reconsume_later.tag = GANTRY_ROCKETMQ_TYPES_RETRY_DELAY_LEVEL;
    to->val.reconsume_later.val.level = (uint8_t)from.delay;
    break;
  case GANTRY_RECONSUME_AFTER:
    to->val.reconsume_later.tag = GANTRY_ROCKETMQ_TYPES_RETRY_DELAY_MILLISECONDS;
    to->val.reconsume_later.val.milliseconds = from.delay;
    break;
  case GANTRY_DEAD_LETTER:
    to->tag = GANTRY_ROCKETMQ_TYPES_CONSUME_RESULT_DEAD_LETTER;
    to->val.dead_letter = (bindings_string_t){(uint8_t *)from.reason.ptr, from.reason.len};
    break;
  }
}

struct gantry_context {
  bool asked;
  gantry_rocketmq_types_consume_context_t record;
};

// An instance runs one call at a time.
static gantry_context the_context;

static const gantry_rocketmq_types_consume_context_t *asked(const gantry_context *context) {
  if (!context->asked) the_context.asked = gantry_rocketmq_delivery_context(&the_context.record);
  return &the_context.record;
}

gantry_text gantry_consumer_group(const gantry_context *context) { return borrowed(asked(context)->consumer_group); }
gantry_text gantry_topic(const gantry_context *context) { return borrowed(asked(context)->topic); }
gantry_text gantry_broker_name(const gantry_context *context) { return borrowed(asked(context)->broker_name); }
uint32_t gantry_queue_id(const gantry_context *context) { return asked(context)->queue_id; }

static void forget_context(void) {
  if (the_context.asked) gantry_rocketmq_types_consume_context_free(&the_context.record);
  memset(&the_context, 0, sizeof the_context);
}

static gantry_text named(const gantry_message *message, const char *name) {
  gantry_text value = {NULL, 0};
  return gantry_property(message, name, &value) ? value : (gantry_text){NULL, 0};
}

gantry_text gantry_tags(const gantry_message *message) { return named(message, "TAGS"); }
gantry_text gantry_keys(const gantry_message *message) { return named(message, "KEYS"); }
gantry_text gantry_message_id(const gantry_message *message) { return named(message, "UNIQ_KEY"); }

static const char UNREADABLE[] = "the batch is not in RocketMQ's message layout";

// Tells the host of a message that is no success, and forgets why.
static void settle(uint32_t index, gantry_result result) {
  gantry_rocketmq_types_consume_result_t told;
  if (result.kind == GANTRY_SUCCESS) return;
  answer(result, &told);
  gantry_rocketmq_delivery_settle(index, &told);
  gantry_rocketmq_types_consume_result_free(&told);
}

void EXPORTED(consume_batches)(bindings_list_u8_t *batches, uint32_t size) {
  gantry_text whole = {(const char *)batches->ptr, batches->len};
  gantry_message message;
  gantry_text rest = whole;
  while (gantry_next_message(&rest, &message)) continue;
  if (rest.len != 0) {
    bindings_string_t reason = {(uint8_t *)UNREADABLE, sizeof UNREADABLE - 1};
    gantry_rocketmq_delivery_fail(&reason);
    gantry_rocketmq_delivery_next_batch(0);
    rest.len = 0;
  } else {
    rest = whole;
  }
  while (rest.len != 0) {
    uint32_t count = 0;
    while (count < size && gantry_next_message(&rest, &message))
      settle(count++, gantry_listener.consume(&the_context, &message));
    uint32_t step = gantry_rocketmq_delivery_next_batch(count);
    if (step == 0) break;
    // Batches between the two are not for this call.
    for (; count < step && gantry_next_message(&rest, &message); count++) continue;
  }
  forget_context();
  bindings_list_u8_free(batches);
}

#endif

#if defined GANTRY_SELECTOR || defined GANTRY_STRATEGY

typedef gantry_rocketmq_types_message_queue_t queue_record;

#endif

#ifdef GANTRY_SELECTOR

void exports_gantry_rocketmq_selector_describe(exports_gantry_rocketmq_selector_selector_description_t *to) {
  to->name = owned(gantry_selector.name);
  to->version = owned(gantry_selector.version);
}

static const char NO_QUEUE[] = "the selector chose no queue";

bool exports_gantry_rocketmq_selector_select(exports_gantry_rocketmq_selector_list_message_queue_t *queues,
                                             gantry_rocketmq_types_outgoing_message_t *message, bindings_string_t *arg,
                                             uint32_t *index, bindings_string_t *error) {
  gantry_queue *views = need(queues->len, sizeof *views);
  for (size_t i = 0; i < queues->len; i++) {
    const queue_record *its = &queues->ptr[i];
    views[i] = (gantry_queue){borrowed(its->topic), borrowed(its->broker_name), its->queue_id};
  }
  gantry_outgoing view = {
      .topic = borrowed(message->topic),
      .tags = message->tags.is_some ? borrowed(message->tags.val) : (gantry_text){NULL, 0},
      .body = {(const char *)message->body.ptr, message->body.len},
  };
  size_t chosen = gantry_selector.select(views, queues->len, &view, borrowed(*arg));
  bool good = chosen < queues->len;
  if (good) *index = (uint32_t)chosen;
  if (!good) *error = owned(NO_QUEUE);
  free(views);
  exports_gantry_rocketmq_selector_list_message_queue_free(queues);
  gantry_rocketmq_types_outgoing_message_free(message);
  bindings_string_free(arg);
  return good;
}

#endif

#ifdef GANTRY_STRATEGY

void exports_gantry_rocketmq_strategy_describe(exports_gantry_rocketmq_strategy_strategy_description_t *to) {
  to->name = owned(gantry_strategy.name);
  to->version = owned(gantry_strategy.version);
}

static const char NO_MEMBER[] = "the current client is not among the group's members";

bool exports_gantry_rocketmq_strategy_allocate(bindings_string_t *group, bindings_string_t *current,
                                               exports_gantry_rocketmq_strategy_list_message_queue_t *queues,
                                               bindings_list_string_t *clients,
                                               exports_gantry_rocketmq_strategy_list_message_queue_t *owned_queues,
                                               bindings_string_t *error) {
  (void)group;
  size_t client = 0;
  while (client < clients->len && (clients->ptr[client].len != current->len ||
                                   memcmp(clients->ptr[client].ptr, current->ptr, current->len) != 0))
    client++;
  if (client == clients->len) {
    *error = owned(NO_MEMBER);
    return false;
  }
  // An instance answers one question: what came in may go out again, and nothing is freed.
  owned_queues->ptr = need(queues->len, sizeof *owned_queues->ptr);
  owned_queues->len = 0;
  for (size_t i = 0; i < queues->len; i++)
    if (gantry_strategy.owns(i, queues->len, client, clients->len)) owned_queues->ptr[owned_queues->len++] = queues->ptr[i];
  return true;
}

#endif
