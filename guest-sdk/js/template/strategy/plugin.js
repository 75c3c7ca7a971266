// Deals the queues out one by one: the first to the first member, the second to the second, and around again.
import { defineStrategy } from "./.gantry/js/gantry.js";

export const strategy = defineStrategy({
  name: "NAME",
  version: "0.1.0",
  allocate({ currentClientId, queues, clientIds }) {
    const member = clientIds.indexOf(currentClientId);
    if (member < 0) throw new Error(`${currentClientId} is not among the group's members`);
    return queues.filter((_, index) => index % clientIds.length === member);
  },
});
