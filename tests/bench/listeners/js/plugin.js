// The sample plugin `minimal` in JavaScript, for the benchmark.
import { DeadLetter, defineListener } from "./.gantry/js/gantry.js";

export const listener = defineListener({
  name: "greetings-js",
  version: "0.1.0",
  consumerGroup: "greetings-group",
  subscriptions: [{ topic: "greetings" }],
  consume(message) {
    if (message.body.length === 0) throw new DeadLetter("a greeting without words");
  },
});
