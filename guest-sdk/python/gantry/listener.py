"""A message listener: a plugin derives a class `Listener` from this one, says what it wants and consumes.

Without grants there is no clock, no file and no standard output in a plugin: time.time() and print() end the instance.
"""

from dataclasses import dataclass

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import types

__all__ = [
    "Context", "DeadLetter", "Listener", "Message", "ReconsumeAfter", "ReconsumeAtLevel", "ReconsumeLater", "Subscription",
]


class Answer(Exception):
    """Raised by `consume`: any answer but success."""

    def result(self) -> types.ConsumeResult:
        raise NotImplementedError


class DeadLetter(Answer):
    """Sets the message aside for ever; its words are the reason."""

    def result(self):
        return types.ConsumeResult_DeadLetter(str(self))


class ReconsumeLater(Answer):
    """Gives the message back; the broker's own schedule says when it comes again."""

    def result(self):
        return types.ConsumeResult_ReconsumeLater(types.RetryDelay_ByAttempts())


class ReconsumeAtLevel(Answer):
    """Gives it back for a delay level, 1 (1 s) to 18 (2 h)."""

    def __init__(self, level: int):
        super().__init__(level)
        self.level = level

    def result(self):
        return types.ConsumeResult_ReconsumeLater(types.RetryDelay_Level(self.level))


class ReconsumeAfter(Answer):
    """Gives it back for at least so many milliseconds."""

    def __init__(self, milliseconds: int):
        super().__init__(milliseconds)
        self.milliseconds = milliseconds

    def result(self):
        return types.ConsumeResult_ReconsumeLater(types.RetryDelay_Milliseconds(self.milliseconds))


@dataclass
class Subscription:
    """One topic: with tags such as "created || paid", or an SQL92 condition."""

    topic: str
    tags: str = "*"
    sql92: str | None = None


# What holds for every message of one call: consumer_group, topic, broker_name, queue_id.
Context = types.ConsumeContext


class Message:
    """One message: message_id, tags (or None), keys, reconsume_times, queue_offset, born_timestamp, store_timestamp (both in
    milliseconds), body (bytes) and user_properties (pairs)."""

    def __init__(self, record: types.Message):
        self._record = record

    def __getattr__(self, name):
        return getattr(self._record, name)

    def property(self, name: str) -> str | None:
        """A property the user set."""
        return next((value for key, value in self._record.user_properties if key == name), None)


class Listener(exports.Listener):
    """What is left out has RocketMQ's default."""

    name: str
    version: str
    consumer_group: str
    subscriptions: list[Subscription]
    broadcasting = False
    orderly = False
    # Where a group without offsets begins: at the end of the queue, unless this is set.
    from_first_offset = False
    # Most messages in one call of the host, 1 to 1024.
    batch_max_size: int | None = None
    # Retries before the dead-letter topic.
    max_reconsume_times: int | None = None
    # Milliseconds one call may take.
    consume_timeout: int | None = None

    def consume(self, context: Context, message: Message) -> None:
        """Called for each message of a batch, in its order. It returns when the message is done, and raises DeadLetter,
        ReconsumeLater, ReconsumeAtLevel or ReconsumeAfter for any other answer. Any other exception is reconsumed later."""
        raise NotImplementedError

    def describe(self) -> types.ListenerDescription:
        return types.ListenerDescription(
            name=self.name,
            version=self.version,
            consumer_group=self.consumer_group,
            subscriptions=[types.Subscription(topic=s.topic, expression=_expression(s)) for s in self.subscriptions],
            message_model=types.MessageModel.BROADCASTING if self.broadcasting else types.MessageModel.CLUSTERING,
            consume_mode=types.ConsumeMode.ORDERLY if self.orderly else types.ConsumeMode.CONCURRENTLY,
            consume_from_where=(
                types.ConsumeFromWhere_FirstOffset() if self.from_first_offset else types.ConsumeFromWhere_LastOffset()
            ),
            consume_message_batch_max_size=self.batch_max_size,
            max_reconsume_times=self.max_reconsume_times,
            consume_timeout=self.consume_timeout,
        )

    def consume_message(self, context, batch):
        """A message that fails costs itself. Where every one of the batch fails, the batch does, so that the host's log has
        the first one's words."""
        failures = []
        results = [self._answer(context, Message(record), failures) for record in batch]
        if failures and len(failures) == len(batch):
            raise Err(failures[0])
        return results

    def _answer(self, context, message, failures) -> types.ConsumeResult:
        try:
            self.consume(context, message)
            return types.ConsumeResult_Success()
        except Answer as answer:
            return answer.result()
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")
            return types.ConsumeResult_ReconsumeLater(types.RetryDelay_ByAttempts())


def _expression(subscription: Subscription):
    if subscription.sql92 is not None:
        return types.FilterExpression_Sql92(subscription.sql92)
    return types.FilterExpression_Tag(subscription.tags)
