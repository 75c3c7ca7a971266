"""Consumes the topic `orders` as plugins/orders does, in Python.

- An order that cannot be read, or has no positive amount: dead letter, with the reason.
- "status": "payment-pending": the bank is asked again after 1 s, 5 s and 10 s; then the order is a dead letter.
- Any other: success.
"""

import json

import gantry
from gantry import DeadLetter, ReconsumeAtLevel, Subscription

STATUSES = ("created", "payment-pending", "paid", "cancelled")


def read(body: bytes) -> dict:
    try:
        order = json.loads(body)
    except ValueError as error:
        raise DeadLetter(f"not an order: {error}") from error
    if not isinstance(order, dict) or order.get("status") not in STATUSES:
        raise DeadLetter("not an order: it has no status we know")
    id, amount, currency = order.get("id"), order.get("amount"), order.get("currency", "EUR")
    if not isinstance(id, str | None):
        raise DeadLetter("not an order: its id is no string")
    if not isinstance(amount, int | None) or isinstance(amount, bool):
        raise DeadLetter("not an order: its amount is no whole number")
    if not isinstance(currency, str):
        raise DeadLetter("not an order: its currency is no string")
    if not id:
        raise DeadLetter("an order without id")
    if amount is None:
        raise DeadLetter("an order without amount")
    if amount <= 0:
        raise DeadLetter("an order whose amount is not positive")
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()):
        raise DeadLetter(f"an order in {json.dumps(currency)}, which is no currency")
    return order


class Listener(gantry.Listener):
    name = "orders"
    version = "1.0.0"
    consumer_group = "orders-group"
    subscriptions = [Subscription("orders", tags="created || paid || payment-pending")]
    batch_max_size = 32
    max_reconsume_times = 3

    def consume(self, context, message):
        order = read(message.body)
        if order["status"] == "payment-pending":
            # Levels 1, 2, 3: 1 s, 5 s, 10 s.
            raise ReconsumeAtLevel(min(message.reconsume_times + 1, 18))
