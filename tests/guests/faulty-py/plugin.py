"""A listener, a selector and a strategy in one.

A message of `throw` raises; `spin` never ends; `garbage` leaves garbage; the rest is a success. A message that is sent goes
to the queue as many places on as its argument has bytes, and `fail` to none. Queues are dealt out to the members one by one.
"""

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


class Selector(gantry.Selector):
    name = "faulty"
    version = "1"

    def choose(self, queues, message, arg):
        if arg == "fail":
            raise RuntimeError("it is broken")
        return len(arg.encode()) % len(queues)


class Strategy(gantry.Strategy):
    name = "faulty"
    version = "1"

    def share(self, group, current, queues, clients):
        return queues[clients.index(current) :: len(clients)]
