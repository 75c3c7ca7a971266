"""The sample plugin `minimal` in Python, for the benchmark."""

import gantry
from gantry import DeadLetter, Subscription


class Listener(gantry.Listener):
    name = "greetings-python"
    version = "0.1.0"
    consumer_group = "greetings-group"
    subscriptions = [Subscription("greetings")]

    def consume(self, context, message):
        if not message.body:
            raise DeadLetter("a greeting without words")
