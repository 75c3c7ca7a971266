//! The cluster a command talks to.

use gantry_host::client_instance::{ClientConfig, ClientInstance};
use gantry_host::config::GantryConfig;

use crate::cli::ClusterArgs;

/// A client of the cluster the arguments name.
pub(crate) async fn client(args: &ClusterArgs) -> anyhow::Result<ClientInstance> {
    Ok(ClientInstance::start(client_config(args)?).await?)
}

fn client_config(args: &ClusterArgs) -> anyhow::Result<ClientConfig> {
    let mut config = match &args.config {
        Some(file) => GantryConfig::from_file(file)?,
        None => GantryConfig::default(),
    };
    if let Some(name_server) = &args.name_server {
        config.name_server = name_server.clone();
    }
    Ok(config.client_config()?)
}
