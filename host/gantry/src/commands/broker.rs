//! `gantry broker`: the embedded name server and broker alone.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use gantry_dev_broker::{Broker, BrokerConfig, FsyncPolicy, Storage, TlsFiles};
use gantry_protocol::Credentials;
use serde_json::json;

use super::tell;
use crate::cli::{BrokerArgs, Fsync};
use crate::signals::{asked_to_stop, stop_or_exit};

pub(crate) async fn run(args: BrokerArgs) -> anyhow::Result<ExitCode> {
    let fsync = match args.fsync {
        Fsync::Always => FsyncPolicy::EveryCommit,
        Fsync::Os => FsyncPolicy::Os,
    };
    let (storage, kept) = if args.in_memory {
        (Storage::InMemory, "in memory only".to_owned())
    } else {
        let kept = format!("in {}", args.data.display());
        (Storage::Directory { path: args.data.clone(), fsync }, kept)
    };
    let accounts = args.accounts.as_deref().map(accounts).transpose()?.unwrap_or_default();
    let tls = tls(&args);
    let config = BrokerConfig { listen: args.listen, storage, accounts, tls, ..BrokerConfig::default() };
    let broker = Broker::start(config).await.context("the broker cannot start")?;
    let address = broker.local_addr();
    if args.json {
        tell(json!({ "event": "started", "nameServer": address, "messages": kept }));
    } else {
        tell(format_args!("name server and broker: {address}, messages kept {kept}"));
        tell("Ctrl-C or SIGTERM stops it");
    }
    asked_to_stop().await?;
    stop_or_exit(broker.stop()).await?;
    if args.json {
        tell(json!({ "event": "stopped" }));
    } else {
        tell("stopped");
    }
    Ok(ExitCode::SUCCESS)
}

fn tls(args: &BrokerArgs) -> Option<TlsFiles> {
    Some(TlsFiles {
        cert_file: args.tls_cert.clone()?,
        key_file: args.tls_key.clone()?,
        client_ca_file: args.tls_client_ca.clone(),
        enforcing: args.tls_only,
    })
}

/// The accounts of a file; its secrets are in no error.
fn accounts(file: &Path) -> anyhow::Result<Vec<Credentials>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines = (1..).zip(text.lines()).map(|(number, line): (u32, &str)| (number, line.trim()));
    let accounts = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let account = |(number, line): (u32, &str)| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(access_key), Some(secret_key), None) => Ok(Credentials::new(access_key, secret_key)),
            _ => anyhow::bail!(
                "{}:{number}: expected an access key, a space, and its secret key",
                file.display()
            ),
        }
    };
    let accounts = accounts.map(account).collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(
        !accounts.is_empty(),
        "{} has no account: nobody could speak to the broker",
        file.display()
    );
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Credentials>, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("accounts");
        std::fs::write(&file, text).unwrap();
        accounts(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn accounts_are_read_a_line_each() {
        let expected = [Credentials::new("a", "1"), Credentials::new("b", "2")];
        assert_eq!(read("# who may\na 1\n\n  b\t2\n").unwrap(), expected);
    }

    #[test]
    fn a_bad_line_is_named_without_its_secret() {
        let error = read("a 1\nb top secret\n").unwrap_err();
        assert!(
            error.contains("accounts:2: expected an access key") && !error.contains("secret\n"),
            "{error}"
        );
        assert!(!error.contains("top"), "{error}");
        assert!(read("# nobody\n").unwrap_err().contains("nobody could speak"));
    }
}
