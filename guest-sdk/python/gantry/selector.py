"""A queue selector: a plugin derives a class `Selector` from this one."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import selector
from wit_world.imports import types

__all__ = ["MessageQueue", "OutgoingMessage", "Selector"]

MessageQueue = types.MessageQueue
OutgoingMessage = types.OutgoingMessage


class Selector(exports.Selector):
    name: str
    version: str

    def choose(self, queues: list[MessageQueue], message: OutgoingMessage, arg: str) -> int:
        """The index of the queue the message goes to; what it raises leaves that to the sender's fallback."""
        raise NotImplementedError

    def describe(self):
        return selector.SelectorDescription(name=self.name, version=self.version)

    def select(self, queues, message, arg):
        try:
            return self.choose(queues, message, arg)
        except Exception as error:
            raise Err(f"{type(error).__name__}: {error}") from error
