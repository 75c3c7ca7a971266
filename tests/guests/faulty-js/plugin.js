// A listener, a selector and a strategy in one. A message of `throw` throws; `spin` never ends; `garbage` leaves garbage; the
// rest is a success. A message that is sent goes to the queue as many places on as its argument has bytes (arguments are
// ASCII here), and `fail` to none. Queues are dealt out to the members one by one.
import { defineListener, defineSelector, defineStrategy } from "./.gantry/js/gantry.js";

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

export const selector = defineSelector({
  name: "faulty",
  version: "1",
  select(queues, message, arg) {
    if (arg === "fail") throw new Error("it is broken");
    return arg.length % queues.length;
  },
});

export const strategy = defineStrategy({
  name: "faulty",
  version: "1",
  allocate({ currentClientId, queues, clientIds }) {
    const member = clientIds.indexOf(currentClientId);
    if (member < 0) throw new Error(`${currentClientId} is not among the group's members`);
    return queues.filter((_, index) => index % clientIds.length === member);
  },
});
