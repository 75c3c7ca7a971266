//! How many messages a running host has had, asked of its admin API over one connection that stays.

use std::net::SocketAddr;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A host's admin API.
#[derive(Debug)]
pub(crate) struct Admin {
    request: String,
    connection: BufReader<TcpStream>,
}

impl Admin {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let connection = TcpStream::connect(address).await.context("the admin API cannot be reached")?;
        let request = format!("GET /plugins HTTP/1.1\r\nHost: {address}\r\n\r\n");
        Ok(Self { request, connection: BufReader::new(connection) })
    }

    /// Messages answered with success, over all plugins.
    ///
    /// # Errors
    /// A plugin was rejected, or gave a message back.
    pub(crate) async fn succeeded(&mut self) -> anyhow::Result<u64> {
        total(&self.plugins().await?)
    }

    async fn plugins(&mut self) -> anyhow::Result<Value> {
        self.connection.write_all(self.request.as_bytes()).await?;
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            anyhow::ensure!(self.connection.read_line(&mut line).await? > 0, "the admin API hung up");
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body).await?;
        serde_json::from_slice(&body).context("the admin API's answer is not JSON")
    }
}

fn total(answer: &Value) -> anyhow::Result<u64> {
    let plugins = answer.as_array().with_context(|| format!("no plugins in {answer}"))?;
    let mut all = 0;
    for plugin in plugins {
        let state = plugin.get("state").and_then(Value::as_str).unwrap_or_default();
        let rejected = plugin.get("rejected").and_then(Value::as_str);
        anyhow::ensure!(rejected.is_none() && state != "rejected", "the plugin was rejected: {plugin}");
        let outcomes =
            plugin.get("outcomes").and_then(Value::as_object).context("a plugin without outcomes")?;
        for (outcome, count) in outcomes {
            let count = count.as_u64().unwrap_or_default();
            match outcome.as_str() {
                "succeeded" => all += count,
                other => anyhow::ensure!(count == 0, "{count} messages were {other}"),
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn successes_are_added_up_and_all_else_is_an_error() {
        let plugin = |succeeded: u64, reconsumed: u64| {
            json!({ "state": "active", "rejected": null,
                    "outcomes": { "succeeded": succeeded, "reconsumed": reconsumed } })
        };
        assert_eq!(total(&json!([plugin(3, 0), plugin(4, 0)])).unwrap(), 7);
        assert!(total(&json!([plugin(3, 1)])).is_err());
        assert!(total(&json!([{ "state": "rejected", "outcomes": {} }])).is_err());
        assert!(total(&json!({ "error": "no" })).is_err());
    }
}
