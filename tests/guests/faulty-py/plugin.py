"""`throw` raises; `spin` never ends; `garbage` leaves garbage; the rest is a success."""

import gantry
from gantry import Subscription


class Listener(gantry.Listener):
    name = "faulty"
    version = "1"
    consumer_group = "faulty"
    subscriptions = [Subscription("faulty")]
    batch_max_size = 32

    def consume(self, context, message):
        if message.body == b"throw":
            raise RuntimeError("it is broken")
        while message.body == b"spin":
            pass
        if message.body == b"garbage":
            for _ in range(1000):
                self.kept = bytearray(4096)
