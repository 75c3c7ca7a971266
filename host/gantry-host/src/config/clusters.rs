//! `[clusters.NAME]`: further clusters of one host, beside the default one, and the names that groups have by them.

use super::GantryConfig;
use super::client::{ClientSettings, CredentialsError};

/// What the default cluster is called where a name is needed.
pub const DEFAULT_CLUSTER: &str = "default";

/// The name a consumer group has in its host: `GROUP`, and `GROUP@CLUSTER` outside the default cluster. Consumer groups
/// themselves have no `@` in their names.
pub fn group_name(consumer_group: &str, cluster: Option<&str>) -> String {
    match cluster {
        None => consumer_group.to_owned(),
        Some(cluster) => format!("{consumer_group}@{cluster}"),
    }
}

impl GantryConfig {
    /// The settings of a cluster's client; none for the default cluster, or none where there is no such cluster.
    pub fn cluster_settings(&self, cluster: Option<&str>) -> Option<&ClientSettings> {
        match cluster {
            None => Some(&self.client),
            Some(name) => self.clusters.get(name),
        }
    }

    /// The name servers of a cluster, as they are written; empty where there is no such cluster.
    pub fn name_server_of(&self, cluster: Option<&str>) -> &str {
        match cluster {
            None => &self.name_server,
            Some(name) => {
                self.clusters.get(name).and_then(|client| client.name_server.as_deref()).unwrap_or_default()
            }
        }
    }

    /// The cluster of the plugin in the file `stem`; none for the default one.
    pub fn plugin_cluster(&self, stem: &str) -> Option<&str> {
        self.plugin.get(stem)?.cluster()
    }

    pub(super) fn no_cluster(&self, name: &str) -> CredentialsError {
        CredentialsError::NoCluster { name: name.to_owned(), known: self.known_clusters() }
    }

    pub(super) fn check_clusters(&self) -> Result<(), (String, String)> {
        let rule = |key: &str, message: String| Err((key.to_owned(), message));
        if self.client.name_server.is_some() {
            return rule("name-server", "expected at the top of the file, not under [client]".into());
        }
        for (name, client) in &self.clusters {
            if !is_cluster_name(name) {
                return rule(
                    name,
                    format!(
                        "expected a cluster's name of 1 to 64 characters A-Z a-z 0-9 _ -, other than {DEFAULT_CLUSTER}"
                    ),
                );
            }
            let servers = client.name_server.as_deref().unwrap_or_default();
            if servers.split([';', ',']).all(|entry| entry.trim().is_empty()) {
                return rule(name, format!("expected name-server under [clusters.{name}]"));
            }
            client.check()?;
        }
        for stem in self.plugin.keys() {
            let Some(cluster) = self.plugin_cluster(stem) else { continue };
            if !self.clusters.contains_key(cluster) {
                let known = self.known_clusters();
                return rule(
                    "cluster",
                    format!("plugin {stem} is to be in cluster {cluster}, which is not there; {known}"),
                );
            }
        }
        for group in self.group.keys() {
            let cluster = group.split_once('@').map(|(_, cluster)| cluster);
            if let Some(cluster) = cluster.filter(|cluster| !self.clusters.contains_key(*cluster)) {
                let known = self.known_clusters();
                return rule(
                    group,
                    format!("the group is in cluster {cluster}, which is not there; {known}"),
                );
            }
        }
        Ok(())
    }

    fn known_clusters(&self) -> String {
        match self.clusters.is_empty() {
            true => "add it as [clusters.NAME] with its name-server".to_owned(),
            false => {
                let names: Vec<&str> = self.clusters.keys().map(String::as_str).collect();
                format!("expected {DEFAULT_CLUSTER}, {}, or another table [clusters.NAME]", names.join(", "))
            }
        }
    }
}

fn is_cluster_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && name != DEFAULT_CLUSTER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Millis;

    const TWO: &str = "name-server = \"a:9876\"\n\
        [clusters.pay-eu]\nname-server = \"b:9876\"\nheartbeat-broker-interval = \"5s\"\n\
        [clusters.pay-eu.acl]\naccess-key = \"me\"\n[clusters.pay-eu.tls]\n\
        [plugin.orders]\ncluster = \"default\"\n[plugin.payments]\ncluster = \"pay-eu\"\n";

    fn config(text: &str) -> Result<GantryConfig, String> {
        GantryConfig::from_toml("gantry.toml", text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_cluster_has_a_client_of_its_own() {
        let config = config(TWO).unwrap();
        let settings = config.cluster_settings(Some("pay-eu")).unwrap();
        assert_eq!((settings.heartbeat_broker_interval, settings.tls.is_some()), (Millis(5_000), true));
        assert_eq!(config.client.heartbeat_broker_interval, Millis(30_000));
        assert_eq!([None, Some("pay-eu")].map(|of| config.name_server_of(of)), ["a:9876", "b:9876"]);
        let plugins = ["orders", "payments", "others"].map(|stem| config.plugin_cluster(stem));
        assert_eq!(plugins, [None, Some("pay-eu"), None]);
        assert_eq!(config.client_config().unwrap().name_servers, "a:9876");
        assert_eq!(group_name("g", None), "g");
        assert_eq!(group_name("g", Some("pay-eu")), "g@pay-eu");
    }

    #[test]
    fn its_account_comes_from_variables_of_its_own() {
        let config = config(TWO).unwrap();
        let acl = &config.clusters["pay-eu"].acl;
        let of_default = |name: &str| (name == "GANTRY_SECRET_KEY").then(|| "s".to_owned());
        let error = acl.credentials(Some("pay-eu"), of_default).unwrap_err().to_string();
        assert!(error.contains("[clusters.pay-eu.acl], or GANTRY_SECRET_KEY_PAY_EU"), "{error}");
        let own = |name: &str| (name == "GANTRY_SECRET_KEY_PAY_EU").then(|| "s".to_owned());
        assert!(acl.credentials(Some("pay-eu"), own).unwrap().is_some());
        let error = config.client_config_of(Some("pay")).unwrap_err().to_string();
        assert!(error.contains("no cluster pay; expected default, pay-eu"), "{error}");
    }

    #[test]
    fn what_is_not_sound_is_named_with_what_is_expected() {
        for (text, expected) in [
            ("[client]\nname-server = \"a:1\"\n", "gantry.toml:2: name-server: expected at the top"),
            ("[clusters.b]\n", "expected name-server under [clusters.b]"),
            ("[clusters.default]\nname-server = \"a:1\"\n", "other than default"),
            ("[clusters.\"b c\"]\nname-server = \"a:1\"\n", "1 to 64 characters"),
            (
                "[plugin.p]\ncluster = \"b\"\n",
                "plugin p is to be in cluster b, which is not there; add it as [clusters.NAME]",
            ),
            ("[group.\"g@b\"]\npull-batch-size = 1\n", "the group is in cluster b"),
            (
                "[clusters.b]\nname-server = \"a:1\"\n[clusters.b.tls]\ncert-file = \"c\"\n",
                "expected with key-file",
            ),
            ("[clusters.b]\nname-servers = \"a:1\"\n", "unknown field `name-servers`"),
        ] {
            let error = config(text).unwrap_err();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }
}
