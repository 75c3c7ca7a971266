// Sends all messages with the same argument to the same queue.
import { defineSelector } from "./.gantry/js/gantry.js";

export const selector = defineSelector({
  name: "NAME",
  version: "0.1.0",
  select(queues, message, arg) {
    let hash = 0;
    for (const character of arg) hash = (Math.imul(hash, 31) + character.codePointAt(0)) >>> 0;
    return hash % queues.length;
  },
});
