// Consumes the topic `orders` as plugins/orders does, in JavaScript.
//
// - An order that cannot be read, or has no positive amount: dead letter, with the reason.
// - "status": "payment-pending": the bank is asked again after 1 s, 5 s and 10 s; then the order is a dead letter.
// - Any other: success.
import { DeadLetter, defineListener, reconsumeAtLevel } from "./.gantry/js/gantry.js";

const STATUSES = ["created", "payment-pending", "paid", "cancelled"];
const isText = (value) => typeof value === "string";
const isAbsent = (value) => value === undefined || value === null;

function read(message) {
  let order;
  try {
    order = JSON.parse(message.text());
  } catch (error) {
    throw new DeadLetter(`not an order: ${error.message}`);
  }
  const { id, status, amount, currency } = order ?? {};
  if (!STATUSES.includes(status)) throw new DeadLetter("not an order: it has no status we know");
  if (!isAbsent(id) && !isText(id)) throw new DeadLetter("not an order: its id is no string");
  if (!isAbsent(amount) && !Number.isInteger(amount)) throw new DeadLetter("not an order: its amount is no whole number");
  if (currency !== undefined && !isText(currency)) throw new DeadLetter("not an order: its currency is no string");
  if (!id) throw new DeadLetter("an order without id");
  if (isAbsent(amount)) throw new DeadLetter("an order without amount");
  if (amount <= 0) throw new DeadLetter("an order whose amount is not positive");
  if (currency !== undefined && !/^[A-Z]{3}$/.test(currency)) {
    throw new DeadLetter(`an order in ${JSON.stringify(currency)}, which is no currency`);
  }
  return order;
}

export const listener = defineListener({
  name: "orders",
  version: "1.0.0",
  consumerGroup: "orders-group",
  subscriptions: [{ topic: "orders", tags: "created || paid || payment-pending" }],
  batchMaxSize: 32,
  maxReconsumeTimes: 3,
  consume(message) {
    const order = read(message);
    if (order.status === "payment-pending") {
      // Levels 1, 2, 3: 1 s, 5 s, 10 s.
      return reconsumeAtLevel(Math.min(message.reconsumeTimes + 1, 18));
    }
  },
});
