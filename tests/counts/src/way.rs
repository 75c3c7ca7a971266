//! The way of messages on one thread: from the bytes of pull answers as far as wanted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use clap::ValueEnum;
use gantry_core::{Batch, PullStatus};
use gantry_engine::{
    ConsumeContext, Engine, EngineConfig, Grants, ListenerModule, MessageBatch, Order, consume_isolated,
};
use gantry_host::client_instance::{PullAnswer, PullStatus as Answered};
use gantry_host::{ConsumeResult, stored_batch};
use gantry_protocol::FrameDecoder;
use gantry_protocol::header::PullMessageResponseHeader;

use crate::machine::Machine;
use crate::setting::Setting;

/// The topic of every message.
pub(crate) const TOPIC: &str = "counts";
const DEADLINE: Duration = Duration::from_secs(60);

/// How far messages are taken; each goes through what is before it as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reach {
    /// A frame of the connection becomes messages.
    Decoded,
    /// Through the group's machine and back: window, batch, results, offset.
    Settled,
    /// With a listener in Rust, part of the program.
    Native,
    /// With a component as the listener, in the lean form.
    Guest,
}

impl Reach {
    /// Its name on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Decoded => "decoded",
            Self::Settled => "settled",
            Self::Native => "native",
            Self::Guest => "guest",
        }
    }

    /// Its name in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Decoded => "an answer's bytes to messages",
            Self::Settled => "and through the group's machine",
            Self::Native => "and a native listener",
            Self::Guest => "and a component",
        }
    }
}

/// Something to take pull answers.
pub(crate) struct Way {
    reach: Reach,
    decoder: FrameDecoder,
    machine: Machine,
    guest: Option<ListenerModule>,
}

impl Way {
    /// `component` is the sample plugin's file.
    pub(crate) fn new(reach: Reach, setting: Setting, component: &Path) -> Result<Self> {
        let guest = (reach == Reach::Guest).then(|| load(component)).transpose()?;
        let machine = Machine::consuming(TOPIC, setting)?;
        Ok(Self { reach, decoder: FrameDecoder::default(), machine, guest })
    }

    /// Takes one answer as far as wanted; how many messages it brought.
    pub(crate) fn take(&mut self, frame: BytesMut) -> Result<usize> {
        let answer = self.decode(frame)?;
        let count = answer.messages.len();
        if self.reach == Reach::Decoded {
            return Ok(count);
        }
        self.machine.pulled(answer)?;
        while let Some(batch) = self.machine.batch() {
            self.consume(&batch)?;
            self.machine.consumed(&batch);
        }
        Ok(count)
    }

    /// Fails unless so many messages have gone the whole way.
    pub(crate) fn check(&self, messages: usize) -> Result<()> {
        let settled = self.machine.succeeded();
        let all = self.reach == Reach::Decoded || settled == messages as u64;
        ensure!(all, "{settled} of {messages} messages were settled");
        Ok(())
    }

    fn decode(&self, mut frame: BytesMut) -> Result<gantry_core::PullAnswer> {
        let command = self.decoder.decode(&mut frame)?.context("half a frame")?;
        let header: PullMessageResponseHeader = command.header()?;
        let answer = PullAnswer {
            status: Answered::Found,
            next_begin_offset: header.next_begin_offset,
            min_offset: header.min_offset,
            max_offset: header.max_offset,
            broker_id: 0,
            suggest_which_broker_id: header.suggest_which_broker_id,
            reset: false,
            offset_delta: 0,
            body: command.body,
        };
        Ok(gantry_core::PullAnswer {
            status: PullStatus::Found,
            next_begin_offset: answer.next_begin_offset,
            min_offset: answer.min_offset,
            max_offset: answer.max_offset,
            broker_id: 0,
            suggest_which_broker_id: 0,
            reset: false,
            messages: answer.messages()?,
        })
    }

    /// Fails unless all of it is consumed.
    fn consume(&self, batch: &Batch) -> Result<()> {
        if self.reach == Reach::Settled {
            return Ok(());
        }
        let messages = stored_batch(batch.messages.clone()).context("a body that cannot be read")?;
        let results = match &self.guest {
            Some(module) => guest(module, &messages),
            None => native(&*messages),
        };
        let failed = results.iter().find(|result| **result != ConsumeResult::Success);
        ensure!(failed.is_none() && results.len() == batch.messages.len(), "a listener answers {failed:?}");
        Ok(())
    }
}

/// What the sample plugin does.
pub(crate) fn native(batch: &dyn MessageBatch) -> Vec<ConsumeResult> {
    let answer = |index| match batch.body(index).is_empty() {
        true => ConsumeResult::DeadLetter("a greeting without words".into()),
        false => ConsumeResult::Success,
    };
    (0..batch.len()).map(answer).collect()
}

fn guest(module: &ListenerModule, batch: &Arc<dyn MessageBatch>) -> Vec<ConsumeResult> {
    let context =
        ConsumeContext { consumer_group: "counts", topic: TOPIC, broker_name: "broker", queue_id: 0 };
    let report = consume_isolated(module, &context, batch, 0..batch.len(), DEADLINE, Order::Any);
    report.outcomes.into_iter().map(|outcome| outcome.result).collect()
}

fn load(component: &Path) -> Result<ListenerModule> {
    let bytes = std::fs::read(component).with_context(|| {
        format!("cannot read {}; build it with `cargo xtask guests minimal`", component.display())
    })?;
    let engine = Engine::new(EngineConfig::default())?;
    Ok(engine.load(&bytes, &Grants::NONE)?)
}

/// The answers of some pulls.
pub(crate) fn answers(setting: Setting, pulls: usize) -> Result<Vec<BytesMut>> {
    crate::answers::frames(TOPIC, pulls, setting.pull)
}
