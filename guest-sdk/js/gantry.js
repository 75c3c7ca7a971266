// A Gantry plugin in JavaScript: what a plugin exports, out of what its author defines. Types are in gantry.d.ts.
//
// There is no console, no TextDecoder and no clock in a plugin without grants: Date.now() ends the instance.

/** Thrown: sets the message aside for ever, with the reason. */
export class DeadLetter extends Error {}

/** Returned: gives the message back; the broker's own schedule says when it comes again. */
export const reconsumeLater = () => ({ tag: "reconsume-later", val: { tag: "by-attempts" } });
/** Returned: gives it back for a delay level, 1 (1 s) to 18 (2 h). */
export const reconsumeAtLevel = (level) => ({ tag: "reconsume-later", val: { tag: "level", val: level } });
/** Returned: gives it back for at least so many milliseconds. */
export const reconsumeAfter = (ms) => ({ tag: "reconsume-later", val: { tag: "milliseconds", val: ms } });
/** Returned: sets the message aside for ever, with the reason. */
export const deadLetter = (reason) => ({ tag: "dead-letter", val: String(reason) });
/** Returned, as is nothing at all: done. */
export const success = () => ({ tag: "success" });

/** Text of UTF-8, what is none of it replaced. */
export function decode(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at++];
    const more = lead < 0x80 ? 0 : lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : -1;
    let point = more < 0 ? 0xfffd : more === 0 ? lead : lead & (0x3f >> more);
    for (let i = 0; i < more; i++) {
      if ((bytes[at] & 0xc0) !== 0x80) {
        point = 0xfffd;
        break;
      }
      point = (point << 6) | (bytes[at++] & 0x3f);
    }
    const isSound = point < 0x110000 && (point < 0xd800 || point > 0xdfff) && (more < 2 || point >= (more === 2 ? 0x800 : 0x10000));
    text += String.fromCodePoint(isSound ? point : 0xfffd);
  }
  return text;
}

class Message {
  constructor(record) {
    this.id = record.messageId;
    this.tags = record.tags ?? undefined;
    this.keys = record.keys;
    this.reconsumeTimes = record.reconsumeTimes;
    this.queueOffset = Number(record.queueOffset);
    this.bornTimestamp = Number(record.bornTimestamp);
    this.storeTimestamp = Number(record.storeTimestamp);
    this.body = record.body;
    this.userProperties = record.userProperties;
  }

  text() {
    return decode(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }

  property(name) {
    return this.userProperties.find(([its]) => its === name)?.[1];
  }
}

const words = (error) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));

/** What a plugin exports as `listener`. */
export function defineListener(definition) {
  return {
    describe: () => ({
      name: definition.name,
      version: definition.version,
      consumerGroup: definition.consumerGroup,
      subscriptions: definition.subscriptions.map(({ topic, tags, sql92 }) => ({
        topic,
        expression: sql92 === undefined ? { tag: "tag", val: tags ?? "*" } : { tag: "sql92", val: sql92 },
      })),
      messageModel: definition.broadcasting ? "broadcasting" : "clustering",
      consumeMode: definition.orderly ? "orderly" : "concurrently",
      consumeFromWhere: { tag: definition.fromFirstOffset ? "first-offset" : "last-offset" },
      consumeMessageBatchMaxSize: definition.batchMaxSize ?? null,
      maxReconsumeTimes: definition.maxReconsumeTimes ?? null,
      consumeTimeout: definition.consumeTimeout ?? null,
    }),

    // A message that fails costs itself. Where every one of the batch fails, the batch does, so that the host's log has
    // the first one's words.
    consumeMessage(context, batch) {
      let failures = 0;
      let first = "";
      const results = batch.map((record) => {
        try {
          return definition.consume(new Message(record), context) ?? success();
        } catch (error) {
          if (error instanceof DeadLetter) return deadLetter(error.message);
          if (failures++ === 0) first = words(error);
          return reconsumeLater();
        }
      });
      if (failures > 0 && failures === batch.length) throw first;
      return results;
    },
  };
}

/** What a plugin exports as `selector`. */
export function defineSelector({ name, version, select }) {
  return {
    describe: () => ({ name, version }),
    select(queues, message, arg) {
      try {
        return select(queues, message, arg);
      } catch (error) {
        throw words(error);
      }
    },
  };
}

/** What a plugin exports as `strategy`. */
export function defineStrategy({ name, version, allocate }) {
  return {
    describe: () => ({ name, version }),
    allocate(consumerGroup, currentClientId, queues, clientIds) {
      try {
        return allocate({ consumerGroup, currentClientId, queues, clientIds });
      } catch (error) {
        throw words(error);
      }
    },
  };
}
