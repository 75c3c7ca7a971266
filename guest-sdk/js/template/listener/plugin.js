// Consumes the topic NAME.
import { DeadLetter, defineListener } from "./.gantry/js/gantry.js";

export const listener = defineListener({
  name: "NAME",
  version: "0.1.0",
  consumerGroup: "NAME-group",
  subscriptions: [{ topic: "NAME" }],
  batchMaxSize: 32,
  consume(message) {
    if (message.body.length === 0) throw new DeadLetter("an empty message");
    // Not now: return reconsumeLater();
  },
});
