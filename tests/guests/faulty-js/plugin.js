// `throw` throws; `spin` never ends; `garbage` leaves garbage; the rest is a success.
import { defineListener } from "./.gantry/js/gantry.js";

let kept;

export const listener = defineListener({
  name: "faulty",
  version: "1",
  consumerGroup: "faulty",
  subscriptions: [{ topic: "faulty" }],
  batchMaxSize: 32,
  consume(message) {
    switch (message.text()) {
      case "throw":
        throw new Error("it is broken");
      case "spin":
        for (;;) kept = undefined;
      case "garbage":
        for (let i = 0; i < 1000; i++) kept = new Uint8Array(4096);
    }
  },
});
