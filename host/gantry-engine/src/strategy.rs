//! The role of an allocation strategy: which queues of a topic are whose, asked of a plugin.
//!
//! Every question is asked in an instance of its own, which is dropped with the answer: a strategy remembers nothing, so
//! that its answer depends on the question alone (and on clocks or random bytes, where an operator grants it these).
//! Whether the answers for all members of a group fit together is not known here: that is the host's to verify.

use std::{fmt, sync::Arc, time::Duration};

use thiserror::Error;
use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, Instance, TypedFunc},
};

use crate::{
    failure::{GuestFailure, InstantiateError, bounded_text, said},
    guest::GuestState,
    hash::ContentHash,
    instance::{GuestError, Live, Missing, Role, Template, exported},
    wit::{
        AllocateParams, AllocateReturn, DescribeParams, DescribeReturn, MessageQueue, STRATEGY_INTERFACE,
        StrategyDescription,
    },
};

/// Where a component keeps the functions of the strategy interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StrategyRole {
    describe: ComponentExportIndex,
    allocate: ComponentExportIndex,
}

/// The functions of the strategy interface in one instance.
pub(crate) struct StrategyFunctions {
    describe: TypedFunc<DescribeParams, DescribeReturn<StrategyDescription>>,
    allocate: TypedFunc<AllocateParams<'static>, AllocateReturn>,
}

impl Role for StrategyRole {
    type Functions = StrategyFunctions;

    fn find(component: &Component) -> Result<Self, Missing> {
        let function = |name| exported(component, STRATEGY_INTERFACE, name);
        Ok(Self { describe: function("describe")?, allocate: function("allocate")? })
    }

    fn functions(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<StrategyFunctions> {
        Ok(StrategyFunctions {
            describe: instance.get_typed_func(&mut *store, self.describe)?,
            allocate: instance.get_typed_func(store, self.allocate)?,
        })
    }
}

impl Live<StrategyFunctions> {
    pub(crate) fn describe_strategy(
        &mut self,
        deadline: Duration,
    ) -> Result<StrategyDescription, GuestFailure> {
        let (description,) = self.call(deadline, |functions, store| functions.describe.call(store, ()))?;
        Ok(description)
    }
}

/// Why a strategy gives no usable answer. The question may be asked again: each is put to a new instance.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StrategyFailure {
    /// It trapped: a panic, an `unreachable`, an access out of bounds, an answer beyond all bounds.
    #[error("the strategy trapped: {reason}{}", said(last_words))]
    Trap {
        /// The trap's name.
        reason: String,
        /// What it wrote last to standard error, such as a panic's message.
        last_words: Option<String>,
    },
    /// It was stopped at its deadline.
    #[error("the strategy was stopped at its deadline of {deadline:?}")]
    Deadline {
        /// What it was given.
        deadline: Duration,
    },
    /// It trapped after more memory was refused.
    #[error(
        "the strategy asked for {asked_bytes} bytes of memory; an instance may have {max_bytes} (`memory-max` under [engine])"
    )]
    MemoryExceeded {
        /// Its total, had the growth been allowed.
        asked_bytes: usize,
        /// The cap ([`crate::EngineConfig::memory_max_bytes`]).
        max_bytes: usize,
    },
    /// It answers `err`.
    #[error("the strategy gives no answer: {0}")]
    Refused(String),
    /// It gives one member more queues than there are.
    #[error("the strategy gives {client_id} {got} queues where there are {there}")]
    TooMany {
        /// The member asked about.
        client_id: String,
        /// How many queues it answers with.
        got: usize,
        /// How many queues there are.
        there: usize,
    },
    /// There was no instance to ask: no room for one, or its start-up code failed.
    #[error("the strategy cannot be asked: {0}")]
    NoInstance(InstantiateError),
}

impl StrategyFailure {
    /// A short name for metrics and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            StrategyFailure::Trap { .. } => "trap",
            StrategyFailure::Deadline { .. } => "deadline",
            StrategyFailure::MemoryExceeded { .. } => "memory-exceeded",
            StrategyFailure::Refused(_) => "refused",
            StrategyFailure::TooMany { .. } => "too-many",
            StrategyFailure::NoInstance(_) => "no-instance",
        }
    }
}

impl From<GuestFailure> for StrategyFailure {
    fn from(failure: GuestFailure) -> Self {
        match failure {
            GuestFailure::Trap { reason, last_words } => Self::Trap { reason, last_words },
            GuestFailure::Deadline { deadline } => Self::Deadline { deadline },
            GuestFailure::MemoryExceeded { asked_bytes, max_bytes } => {
                Self::MemoryExceeded { asked_bytes, max_bytes }
            }
            // A call of `allocate` fails in none of a listener's ways.
            other @ (GuestFailure::WrongCount { .. } | GuestFailure::ListenerError(_)) => {
                Self::Refused(other.to_string())
            }
        }
    }
}

/// A strategy that passed every check (RocketMQ: `AllocateMessageQueueStrategy`). Cloning is cheap; the code goes when
/// the last clone does.
#[derive(Clone)]
pub struct StrategyModule(Arc<Inner>);

struct Inner {
    template: Template<StrategyRole>,
    description: StrategyDescription,
    hash: ContentHash,
}

impl StrategyModule {
    pub(crate) fn new(
        template: Template<StrategyRole>,
        description: StrategyDescription,
        hash: ContentHash,
    ) -> Self {
        Self(Arc::new(Inner { template, description, hash }))
    }

    /// What the strategy says of itself, checked.
    #[must_use]
    pub fn description(&self) -> &StrategyDescription {
        &self.0.description
    }

    /// What identifies this version: the hash of the file's content.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.0.hash
    }

    /// Asks for the queues of `current_client_id`. `queues` and `client_ids` are to be sorted, and the same at every
    /// member. Takes up to `deadline`, from making the instance to the answer, and what the component's `init` and `drop` take
    /// besides, 6 s at most; blocks for as long: call it on a thread that may.
    ///
    /// The answer has at most as many queues as there are. Nothing else is known of it: it may name queues that there
    /// are not, or the same one twice.
    ///
    /// # Errors
    /// See [`StrategyFailure`].
    pub fn allocate(
        &self,
        consumer_group: &str,
        current_client_id: &str,
        queues: &[MessageQueue],
        client_ids: &[String],
        deadline: Duration,
    ) -> Result<Vec<MessageQueue>, StrategyFailure> {
        let mut guest = self.instance(deadline)?;
        let params = (consumer_group, current_client_id, queues, client_ids);
        let left = deadline.saturating_sub(guest.start_took());
        let answer = guest.call(left, |functions, store| functions.allocate.call(store, params));
        guest.retire();
        match answer {
            Err(GuestFailure::Deadline { .. }) => Err(StrategyFailure::Deadline { deadline }),
            Err(failure) => Err(failure.into()),
            Ok((Err(reason),)) => Err(StrategyFailure::Refused(bounded_text(reason))),
            Ok((Ok(answer),)) if answer.len() > queues.len() => Err(StrategyFailure::TooMany {
                client_id: current_client_id.to_owned(),
                got: answer.len(),
                there: queues.len(),
            }),
            Ok((Ok(answer),)) => Ok(answer.into_iter().map(bounded_queue).collect()),
        }
    }

    fn instance(&self, deadline: Duration) -> Result<Live<StrategyFunctions>, StrategyFailure> {
        self.0.template.instantiate_within(deadline).map_err(|error| match error {
            GuestError::Instantiate(error) => StrategyFailure::NoInstance(error),
            // The types were checked when the module was loaded; this is the same code.
            GuestError::Types(reason) => StrategyFailure::Trap { reason, last_words: None },
        })
    }
}

impl fmt::Debug for StrategyModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrategyModule")
            .field("name", &self.0.description.name)
            .field("hash", &self.0.hash)
            .finish_non_exhaustive()
    }
}

/// A name longer than any queue's stays one that no queue has.
fn bounded_queue(queue: MessageQueue) -> MessageQueue {
    let MessageQueue { topic, broker_name, queue_id } = queue;
    MessageQueue { topic: bounded_text(topic), broker_name: bounded_text(broker_name), queue_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_speaks_of_the_strategy() {
        let deadline = Duration::from_secs(1);
        let failure = StrategyFailure::from(GuestFailure::Deadline { deadline });
        assert_eq!(failure.to_string(), "the strategy was stopped at its deadline of 1s");
        let trap = GuestFailure::Trap { reason: "unreachable".into(), last_words: None };
        assert_eq!(StrategyFailure::from(trap).to_string(), "the strategy trapped: unreachable");
    }

    #[test]
    fn a_queues_names_are_bounded() {
        let huge = MessageQueue { topic: "t".repeat(5_000), broker_name: "b".into(), queue_id: 1 };
        let bounded = bounded_queue(huge);
        assert!(bounded.topic.len() < 1_100, "{}", bounded.topic.len());
        assert_eq!((&*bounded.broker_name, bounded.queue_id), ("b", 1));
    }
}
