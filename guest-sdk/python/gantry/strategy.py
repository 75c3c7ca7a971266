"""An allocation strategy: a plugin derives a class `Strategy` from this one."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import strategy
from wit_world.imports import types

__all__ = ["MessageQueue", "Strategy"]

MessageQueue = types.MessageQueue


class Strategy(exports.Strategy):
    name: str
    version: str

    def share(self, group: str, current: str, queues: list[MessageQueue], clients: list[str]) -> list[MessageQueue]:
        """The queues of the current client; it must depend on the arguments alone. What it raises leaves the group with the
        queues it has."""
        raise NotImplementedError

    def describe(self):
        return strategy.StrategyDescription(name=self.name, version=self.version)

    def allocate(self, consumer_group, current_client_id, queues, client_ids):
        try:
            return self.share(consumer_group, current_client_id, queues, client_ids)
        except Exception as error:
            raise Err(f"{type(error).__name__}: {error}") from error
