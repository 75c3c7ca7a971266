// A Gantry plugin in C.
//
// A plugin defines one constant for each of its roles: `gantry_listener`, `gantry_selector` or `gantry_strategy`. Views are
// borrowed: they are good while the call that gave them lasts. Nothing here needs to be freed.
#ifndef GANTRY_H
#define GANTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes that belong to somebody else; not ended by a zero.
typedef struct {
  const char *ptr;
  size_t len;
} gantry_text;

// Whether a text says the same as a C string.
bool gantry_equals(gantry_text text, const char *other);

// What holds for every message of one call. The host is asked for it when it is first looked at, and only then.
typedef struct gantry_context gantry_context;

gantry_text gantry_consumer_group(const gantry_context *context);
// The topic subscribed to, also when the message comes back from the retry topic.
gantry_text gantry_topic(const gantry_context *context);
gantry_text gantry_broker_name(const gantry_context *context);
uint32_t gantry_queue_id(const gantry_context *context);

// One message, read where it lies.
typedef struct {
  gantry_text body;
  // How often it was given back before: 0 the first time.
  uint32_t reconsume_times;
  uint64_t queue_offset;
  // When the producer made it and when the broker stored it, in milliseconds since the Unix epoch.
  uint64_t born_timestamp;
  uint64_t store_timestamp;
  // For the functions below.
  gantry_text packed_properties;
} gantry_message;

// The tag and the keys, empty where there is none; the producer's unique id, or empty where it set none.
gantry_text gantry_tags(const gantry_message *message);
gantry_text gantry_keys(const gantry_message *message);
gantry_text gantry_message_id(const gantry_message *message);

// A property the user set; false where there is none of this name.
bool gantry_property(const gantry_message *message, const char *name, gantry_text *value);

// Goes through the properties: `cursor` begins at 0; false after the last.
bool gantry_next_property(const gantry_message *message, size_t *cursor, gantry_text *name, gantry_text *value);

// The first message of a packed batch, and the batch without it; false where no whole message is left: at the end, or
// where the bytes are none.
bool gantry_next_message(gantry_text *batch, gantry_message *message);

// The answer for one message.
typedef struct {
  enum { GANTRY_SUCCESS, GANTRY_RECONSUME_LATER, GANTRY_RECONSUME_AT_LEVEL, GANTRY_RECONSUME_AFTER, GANTRY_DEAD_LETTER } kind;
  // The level (1 to 18) or the milliseconds.
  uint64_t delay;
  // Why it is a dead letter.
  gantry_text reason;
} gantry_result;

// Done.
gantry_result gantry_success(void);
// Not now; the broker's own schedule says when.
gantry_result gantry_reconsume_later(void);
// Not now; after a delay level, 1 (1 s) to 18 (2 h).
gantry_result gantry_reconsume_at_level(uint8_t level);
// Not now; after at least so many milliseconds.
gantry_result gantry_reconsume_after(uint64_t milliseconds);
// Never; the reason, as for printf, is cut at 1,023 bytes.
gantry_result gantry_dead_letter(const char *format, ...) __attribute__((format(printf, 1, 2)));

// One topic a listener wants. `tags` such as "created || paid"; "*" or nothing is every message. Or an SQL92 condition.
typedef struct {
  const char *topic;
  const char *tags;
  const char *sql92;
} gantry_subscription;

// A message listener. What is left out has RocketMQ's default.
typedef struct {
  const char *name;
  const char *version;
  const char *consumer_group;
  // Up to 16, ended by one without a topic.
  gantry_subscription subscriptions[16];
  bool broadcasting;
  bool orderly;
  // Where a group without offsets begins: at the end of the queue, unless this is set.
  bool from_first_offset;
  // Most messages in one call, 1 to 1024; 0 is 1.
  uint32_t batch_max_size;
  // Retries before the dead-letter topic; 0 is 16, -1 is none.
  int32_t max_reconsume_times;
  // Milliseconds one call may take; 0 is the host's default.
  uint64_t consume_timeout;
  // Called for each message of a batch, in its order.
  gantry_result (*consume)(const gantry_context *context, const gantry_message *message);
} gantry_listener_definition;

extern const gantry_listener_definition gantry_listener;

// One queue of a topic.
typedef struct {
  gantry_text topic;
  gantry_text broker_name;
  uint32_t queue_id;
} gantry_queue;

// A message that is about to be sent.
typedef struct {
  gantry_text topic;
  gantry_text tags;
  gantry_text body;
} gantry_outgoing;

// A queue selector: the index of the queue that a message goes to. Any index that no queue has leaves it to the sender's
// fallback.
typedef struct {
  const char *name;
  const char *version;
  size_t (*select)(const gantry_queue *queues, size_t count, const gantry_outgoing *message, gantry_text arg);
} gantry_selector_definition;

extern const gantry_selector_definition gantry_selector;

// An allocation strategy: whether a queue is the current client's. It must depend on the arguments alone.
typedef struct {
  const char *name;
  const char *version;
  // `queue` counts from 0 to `queues` - 1 in the sorted list of queues, `client` to `clients` - 1 in that of clients.
  bool (*owns)(size_t queue, size_t queues, size_t client, size_t clients);
} gantry_strategy_definition;

extern const gantry_strategy_definition gantry_strategy;

// A value in JSON: its kind, and its text as written (a string's without the quotes, with its escapes).
typedef struct {
  enum { GANTRY_JSON_MISSING, GANTRY_JSON_NULL, GANTRY_JSON_BOOL, GANTRY_JSON_NUMBER, GANTRY_JSON_STRING, GANTRY_JSON_ARRAY,
         GANTRY_JSON_OBJECT } kind;
  gantry_text text;
} gantry_json;

// Reads a text that is one JSON object, checks it whole, and finds the members named: `values[i]` is that of `names[i]`.
// False where the text is anything else, nests deeper than 64 levels, or names one of them twice.
bool gantry_json_members(gantry_text text, size_t count, const char *const *names, gantry_json *values);

// A number that is a whole one within 64 bits.
bool gantry_json_int(gantry_json value, int64_t *number);

#endif
