//! Writes that are asked for together, as those are that one read of a connection brought: asking costs the writer a wake-up, and
//! what is asked for together shares a commit.

use super::command::Command;

/// Bounds of a lot, so that a connection's first writes do not wait for more than that many behind them.
const LOT_COMMANDS: usize = 256;
const LOT_BYTES: usize = 1024 * 1024;

/// Writes in the order in which they are to be done, not yet asked for.
#[derive(Default)]
pub(crate) struct Lot {
    pub(super) commands: Vec<Command>,
    pub(super) bytes: usize,
}

impl Lot {
    pub(super) fn push(&mut self, command: Command) {
        self.bytes += command.size();
        self.commands.push(command);
    }

    pub(super) fn is_full(&self) -> bool {
        self.commands.len() >= LOT_COMMANDS || self.bytes >= LOT_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

impl From<Command> for Lot {
    fn from(command: Command) -> Self {
        let mut lot = Self::default();
        lot.push(command);
        lot
    }
}
