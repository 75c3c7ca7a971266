"""Sends all messages with the same argument to the same queue."""

from zlib import crc32

import gantry


class Selector(gantry.Selector):
    name = "NAME"
    version = "0.1.0"

    def choose(self, queues, message, arg):
        return crc32(arg.encode()) % len(queues)
