"""Consumes the topic NAME."""

import gantry
from gantry import DeadLetter, Subscription


class Listener(gantry.Listener):
    name = "NAME"
    version = "0.1.0"
    consumer_group = "NAME-group"
    subscriptions = [Subscription("NAME")]
    batch_max_size = 32

    def consume(self, context, message):
        if not message.body:
            raise DeadLetter("an empty message")
        # Not now: raise gantry.ReconsumeLater()
