//! What was counted, below each other.

use std::io::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use crate::allocations::Allocations;
use crate::setting::Setting;

/// One stretch in one setting, per message.
pub(crate) struct Row {
    label: &'static str,
    setting: Setting,
    allocations: f64,
    bytes: f64,
    instructions: Option<f64>,
}

impl Row {
    /// What so many messages took.
    pub(crate) fn new(
        label: &'static str,
        setting: Setting,
        messages: u64,
        allocated: Allocations,
        instructions: Option<u64>,
    ) -> Self {
        let each = |count: u64| count as f64 / messages.max(1) as f64;
        let (allocations, bytes) = (each(allocated.calls), each(allocated.bytes));
        Self { label, setting, allocations, bytes, instructions: instructions.map(each) }
    }

    fn json(&self) -> Value {
        json!({
            "stretch": self.label,
            "pullBatchSize": self.setting.pull,
            "consumeMessageBatchMaxSize": self.setting.batch,
            "allocations": self.allocations,
            "bytes": self.bytes,
            "instructions": self.instructions,
        })
    }
}

/// All rows.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    /// On standard output.
    pub(crate) fn print(&self, as_json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if as_json {
            let rows: Vec<Value> = self.0.iter().map(Row::json).collect();
            return Ok(writeln!(out, "{}", Value::from(rows))?);
        }
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        writeln!(
            out,
            "{:<32} {:>12} {:>8} {:>13}  ({build} build)",
            "per message", "allocations", "bytes", "instructions"
        )?;
        let mut before = None;
        for row in &self.0 {
            if before != Some(row.setting) {
                writeln!(out, "{}", row.setting)?;
                before = Some(row.setting);
            }
            let instructions = row.instructions.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}"));
            writeln!(
                out,
                "  {:<30} {:>12.3} {:>8.0} {instructions:>13}",
                row.label, row.allocations, row.bytes
            )?;
        }
        Ok(())
    }
}
