//! The cluster a command talks to.

use std::path::PathBuf;

use anyhow::Context as _;
use gantry_host::client_instance::{ClientConfig, ClientInstance};
use gantry_host::config::GantryConfig;

use crate::cli::ClusterArgs;

/// A client of the cluster the arguments name.
pub(crate) async fn client(args: &ClusterArgs) -> anyhow::Result<ClientInstance> {
    Ok(ClientInstance::start(client_config(args)?).await?)
}

/// Does some work with a client of the cluster and closes it. An error says through which name servers.
pub(crate) async fn with_client<T>(
    args: &ClusterArgs,
    work: impl AsyncFnOnce(&ClientInstance) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let client = client(args).await?;
    let done = work(&client).await;
    client.close().await;
    done.with_context(|| format!("through name server {}", client.name_servers().join(";")))
}

/// The plugins directory of a host with this configuration.
pub(crate) fn plugins_directory(args: &ClusterArgs) -> anyhow::Result<PathBuf> {
    Ok(config(args)?.plugins)
}

fn config(args: &ClusterArgs) -> anyhow::Result<GantryConfig> {
    Ok(match &args.config {
        Some(file) => GantryConfig::from_file(file)?,
        None => GantryConfig::default(),
    })
}

fn client_config(args: &ClusterArgs) -> anyhow::Result<ClientConfig> {
    let mut client = config(args)?.client_config_of(args.cluster.as_deref())?;
    if let Some(name_server) = &args.name_server {
        client.name_servers = name_server.clone();
    }
    if let Some(namespace) = &args.namespace {
        client.namespace = namespace.clone();
    }
    Ok(client)
}
