//! The role of a queue selector: to which queue of its topic a message is sent, asked of a plugin.
//!
//! Calls take an instance from a pool, as those of listeners do: a call in a ready one costs a microsecond or so, making one
//! several times that, and unlike a strategy a selector may remember.

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
    instance::{Live, Missing, Role, Template, exported},
    pool::{Pool, PoolStats},
    surface::Footprint,
    wit::{
        DescribeParams, DescribeReturn, MessageQueue, OutgoingMessage, SELECTOR_INTERFACE, SelectParams,
        SelectReturn, SelectorDescription,
    },
};

/// Where a component keeps the functions of the selector interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelectorRole {
    describe: ComponentExportIndex,
    select: ComponentExportIndex,
}

/// The functions of the selector interface in one instance.
pub(crate) struct SelectorFunctions {
    describe: TypedFunc<DescribeParams, DescribeReturn<SelectorDescription>>,
    select: TypedFunc<SelectParams<'static>, SelectReturn>,
}

impl Role for SelectorRole {
    type Functions = SelectorFunctions;

    fn find(component: &Component) -> Result<Self, Missing> {
        let function = |name| exported(component, SELECTOR_INTERFACE, name);
        Ok(Self { describe: function("describe")?, select: function("select")? })
    }

    fn functions(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<SelectorFunctions> {
        Ok(SelectorFunctions {
            describe: instance.get_typed_func(&mut *store, self.describe)?,
            select: instance.get_typed_func(store, self.select)?,
        })
    }
}

impl Live<SelectorFunctions> {
    pub(crate) fn describe_selector(
        &mut self,
        deadline: Duration,
    ) -> Result<SelectorDescription, GuestFailure> {
        let (description,) = self.call(deadline, |functions, store| functions.describe.call(store, ()))?;
        Ok(description)
    }
}

/// Why a selector gives no usable answer. It may be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorFailure {
    /// It trapped: a panic, an `unreachable`, an access out of bounds.
    #[error("the selector trapped: {reason}{}", said(last_words))]
    Trap {
        /// The trap's name.
        reason: String,
        /// What it wrote last to standard error, such as a panic's message.
        last_words: Option<String>,
    },
    /// It was stopped at its deadline.
    #[error("the selector was stopped at its deadline of {deadline:?}")]
    Deadline {
        /// What it was given.
        deadline: Duration,
    },
    /// It trapped after more memory was refused.
    #[error(
        "the selector asked for {asked_bytes} bytes of memory; an instance may have {max_bytes} (`memory-max` under [engine])"
    )]
    MemoryExceeded {
        /// Its total, had the growth been allowed.
        asked_bytes: usize,
        /// The cap ([`crate::EngineConfig::memory_max_bytes`]).
        max_bytes: usize,
    },
    /// It answers `err`.
    #[error("the selector gives no answer: {0}")]
    Refused(String),
    /// It names a queue that there is not.
    #[error("the selector chose queue {index} where there are {there}, counted from 0")]
    NoSuchQueue {
        /// Its answer.
        index: u32,
        /// How many queues there are.
        there: usize,
    },
    /// There was no instance to ask: no room for one, or its start-up code or `init` failed.
    #[error("the selector cannot be asked: {0}")]
    NoInstance(#[from] InstantiateError),
}

impl SelectorFailure {
    /// A short name for metrics and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            SelectorFailure::Trap { .. } => "trap",
            SelectorFailure::Deadline { .. } => "deadline",
            SelectorFailure::MemoryExceeded { .. } => "memory-exceeded",
            SelectorFailure::Refused(_) => "refused",
            SelectorFailure::NoSuchQueue { .. } => "no-such-queue",
            SelectorFailure::NoInstance(_) => "no-instance",
        }
    }
}

impl From<GuestFailure> for SelectorFailure {
    fn from(failure: GuestFailure) -> Self {
        match failure {
            GuestFailure::Trap { reason, last_words } => Self::Trap { reason, last_words },
            GuestFailure::Deadline { deadline } => Self::Deadline { deadline },
            GuestFailure::MemoryExceeded { asked_bytes, max_bytes } => {
                Self::MemoryExceeded { asked_bytes, max_bytes }
            }
            // A call of `select` fails in none of a listener's ways.
            other @ (GuestFailure::WrongCount { .. } | GuestFailure::ListenerError(_)) => {
                Self::Refused(other.to_string())
            }
        }
    }
}

/// A selector that passed every check (RocketMQ: `MessageQueueSelector`), with its pool of ready instances. Cloning is
/// cheap; the code and the idle instances go when the last clone does.
#[derive(Clone)]
pub struct SelectorModule(Arc<Inner>);

struct Inner {
    pool: Pool<SelectorRole>,
    description: SelectorDescription,
    hash: ContentHash,
}

impl SelectorModule {
    pub(crate) fn new(
        template: Template<SelectorRole>,
        description: SelectorDescription,
        hash: ContentHash,
        first: Live<SelectorFunctions>,
    ) -> Self {
        Self(Arc::new(Inner { pool: Pool::new(template, first), description, hash }))
    }

    /// What the selector says of itself, checked.
    #[must_use]
    pub fn description(&self) -> &SelectorDescription {
        &self.0.description
    }

    /// What identifies this version: the hash of the file's content.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.0.hash
    }

    /// What one instance takes.
    #[must_use]
    pub fn footprint(&self) -> Option<Footprint> {
        Footprint::of(self.0.pool.component())
    }

    /// What the pool has done so far.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.0.pool.stats()
    }

    /// Asks for the index in `queues` of the queue that `message` goes to, which is always less than their number. Any
    /// number of calls may run at once. The call takes up to `deadline`; where no instance is ready, making one comes first,
    /// which its own deadline bounds. Blocks for as long: call it on a thread that may.
    ///
    /// # Errors
    /// See [`SelectorFailure`].
    pub fn select(
        &self,
        queues: &[MessageQueue],
        message: &OutgoingMessage,
        arg: &str,
        deadline: Duration,
    ) -> Result<usize, SelectorFailure> {
        let mut guest = self.0.pool.lend()?;
        let answer =
            guest.call(deadline, |functions, store| functions.select.call(store, (queues, message, arg)));
        self.0.pool.give_back(guest);
        let (answer,) = answer?;
        let index = answer.map_err(|reason| SelectorFailure::Refused(bounded_text(reason)))?;
        let there = queues.len();
        let known = usize::try_from(index).ok().filter(|index| *index < there);
        known.ok_or(SelectorFailure::NoSuchQueue { index, there })
    }
}

impl fmt::Debug for SelectorModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectorModule")
            .field("name", &self.0.description.name)
            .field("hash", &self.0.hash)
            .finish_non_exhaustive()
    }
}
