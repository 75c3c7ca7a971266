//! Asking a running host's admin API.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::Value;

/// How long an answer may take: a rollback may have to compile.
const PATIENCE: Duration = Duration::from_secs(120);
/// The largest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64 << 20;

/// Where the host is, and its token.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArgs {
    /// The host's admin API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8088", env = "GANTRY_ADMIN")]
    pub(crate) admin: String,
    /// The token it asks for, if it does ([admin] token of its configuration).
    #[arg(long, value_name = "TOKEN", env = "GANTRY_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

/// What the API says went wrong.
#[derive(Deserialize)]
struct Failure {
    error: String,
    fix: String,
}

impl AdminArgs {
    /// Gets a path's JSON. Blocks.
    ///
    /// # Errors
    /// The host cannot be reached, or says no: then why, and what would help.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent().get(self.url(path));
        let request = match self.bearer() {
            Some(bearer) => request.header("authorization", bearer),
            None => request,
        };
        self.answer(request.call())
    }

    /// Posts to a path. Blocks.
    ///
    /// # Errors
    /// As [`AdminArgs::get`].
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent().post(self.url(path));
        let request = match self.bearer() {
            Some(bearer) => request.header("authorization", bearer),
            None => request,
        };
        self.answer(request.send_json(body))
    }

    /// Puts bytes at a path. Blocks.
    ///
    /// # Errors
    /// As [`AdminArgs::get`].
    pub(crate) fn put(&self, path: &str, body: &[u8]) -> anyhow::Result<Value> {
        let request = self.agent().put(self.url(path));
        let request = match self.bearer() {
            Some(bearer) => request.header("authorization", bearer),
            None => request,
        };
        self.answer(request.send(body))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.admin.trim_end_matches('/'))
    }

    fn bearer(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {token}"))
    }

    fn agent(&self) -> ureq::Agent {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        config.into()
    }

    fn answer(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Value> {
        let mut answer = answer.with_context(|| {
            format!("no host answers at {}; is one running there? --admin URL names another", self.admin)
        })?;
        let status = answer.status();
        let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
        let text = text.with_context(|| format!("the answer of {} cannot be read", self.admin))?;
        if status.is_success() {
            return serde_json::from_str(&text)
                .with_context(|| format!("{} answers no JSON; is it a Gantry host?", self.admin));
        }
        match serde_json::from_str::<Failure>(&text) {
            Ok(Failure { error, fix }) => bail!("{error}\n  {fix}"),
            Err(_) => bail!("{} answers {status}; is it a Gantry host?", self.admin),
        }
    }
}

/// A path's part: what is not a plain character is escaped.
pub(crate) fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Prints rows below each other, each column as wide as its widest cell.
pub(crate) fn print_table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        say!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// What is at a place of an answer, such as `/figures/messages`; null if nothing is.
pub(crate) fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

/// A value's text, or a dash.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(segment("orders-2.1"), "orders-2.1");
        assert_eq!(segment("a/b é"), "a%2Fb%20%C3%A9");
    }
}
