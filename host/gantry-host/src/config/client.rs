//! `[client]` and `[clusters.NAME]`: the clients towards name servers and brokers, who they are to them, and whom they trust.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use gantry_protocol::{Credentials, Namespace};
use gantry_remoting::{RemotingSettings, TlsSettings};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::units::Millis;
use super::{DEFAULT_INSTANCE, GantryConfig, is_instance_name};
use crate::client_instance::ClientConfig;

/// The client of a cluster (RocketMQ: ClientConfig).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ClientSettings {
    /// The cluster's name servers, or the URL of its address server. Needed in `[clusters.NAME]`; those of `[client]` are
    /// said at the top of the file.
    pub name_server: Option<String>,
    /// How often an address server is asked for the list of name servers, where `name-server` is the URL of one (RocketMQ:
    /// MQClientInstance.fetchNameServerAddr). Default 2 min.
    pub fetch_name_server_interval: Millis,
    /// How often routes are polled. Default 30 s.
    pub poll_name_server_interval: Millis,
    /// How often every broker hears of us. Default 30 s.
    pub heartbeat_broker_interval: Millis,
    /// Whether heartbeats name the fingerprint of subscriptions a broker knows, and not the subscriptions (`useHeartbeatV2`).
    /// Older brokers are told them as before. Default `false`.
    pub use_heartbeat_v2: bool,
    /// The deadline of an ordinary request. Default 3 s.
    pub mq_client_api_timeout: Millis,
    /// What topics and groups are in at the brokers (`namespace`): `orders` is `NAMESPACE%orders` there, `%RETRY%group` is
    /// `%RETRY%NAMESPACE%group`. Plugins, logs and the admin API know the plain names. 1 to 100 characters of
    /// A-Z a-z 0-9 _ - |. Default: none.
    #[serde(deserialize_with = "namespace")]
    pub namespace: Namespace,
    /// The namespace that every request names in a field, for servers that keep tenants apart by it (`namespaceV2`); names
    /// stay as they are. Default: none.
    pub namespace_v2: Option<String>,
    /// The unit this client is in, at the end of its client id (`unitName`), of A-Z a-z 0-9 _ - . alone. Default: none.
    pub unit_name: Option<String>,
    /// Whether heartbeats and sends say that they are a unit's (`unitMode`). Default `false`.
    pub unit_mode: bool,
    /// Whether all but pulls and heartbeats goes to the brokers' VIP channel, which listens two ports below their own
    /// (`vipChannelEnabled`). The embedded broker has none. Default `false`.
    pub vip_channel_enabled: bool,
    /// Connections to each broker that pulls which bring many bytes, about 64 KiB and more, are spread over; 1 to 16. With 1 there is
    /// one connection for everything, as in Java's client. Default 4.
    pub pull_connections: u32,
    /// TLS for every connection, where the table is there, be it empty (`tls.enable`). Default: plain TCP.
    pub tls: Option<TlsFiles>,
    /// The account requests are signed with (RocketMQ: AclClientRPCHook). Default: that of the environment
    /// (`GANTRY_ACCESS_KEY`, `GANTRY_SECRET_KEY`, `GANTRY_SECURITY_TOKEN`; for `[clusters.NAME]` with `_NAME` behind, in
    /// capitals and with `_` for `-`), else none.
    pub acl: AclSettings,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            name_server: None,
            fetch_name_server_interval: Millis(120_000),
            poll_name_server_interval: Millis(30_000),
            heartbeat_broker_interval: Millis(30_000),
            use_heartbeat_v2: false,
            mq_client_api_timeout: Millis(3_000),
            namespace: Namespace::default(),
            namespace_v2: None,
            unit_name: None,
            unit_mode: false,
            vip_channel_enabled: false,
            pull_connections: 4,
            tls: None,
            acl: AclSettings::default(),
        }
    }
}

/// `[client.tls]`, `[clusters.NAME.tls]`: peers prove their name by a certificate.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TlsFiles {
    /// A PEM file with the authorities that may vouch for peers. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with our certificate, for peers that ask for one; with `key-file`.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with its private key, not encrypted.
    pub key_file: Option<PathBuf>,
    /// The name peers must prove. Default: the host of their address.
    pub server_name: Option<String>,
    /// Takes any certificate for any name, as Java's client does by default. Default `false`.
    pub insecure: bool,
}

/// `[client.acl]`, `[clusters.NAME.acl]`: who we are to brokers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AclSettings {
    /// The account.
    pub access_key: Option<String>,
    /// Its secret; better `secret-key-file` or the environment, since this file is read by many.
    pub secret_key: Option<Secret>,
    /// A file with nothing but the secret.
    pub secret_key_file: Option<PathBuf>,
    /// The token of a temporary account.
    pub security_token: Option<Secret>,
}

/// Text that nothing shows.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The account cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// An account without its secret.
    #[error("access key {account} has no secret: set secret-key-file under [{table}], or {variable}")]
    NoSecret {
        /// The account.
        account: String,
        /// The table its settings are in.
        table: String,
        /// The environment's variable for the secret.
        variable: String,
    },
    /// A secret without its account.
    #[error("there is a secret key and no access key: set access-key under [{table}], or {variable}")]
    NoAccount {
        /// The table its settings are in.
        table: String,
        /// The environment's variable for the account.
        variable: String,
    },
    /// A cluster that no table has.
    #[error("there is no cluster {name}; {known}")]
    NoCluster {
        /// Its name.
        name: String,
        /// Which ones there are, in words.
        known: String,
    },
    /// The file.
    #[error("cannot read the secret key from {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ClientSettings {
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let rule = |key: &str, message: &str| Err((key.to_owned(), message.to_owned()));
        if self.fetch_name_server_interval.0 == 0 {
            return rule("fetch-name-server-interval", "expected at least 1 ms");
        }
        if !(1..=16).contains(&self.pull_connections) {
            return rule("pull-connections", "expected 1 to 16");
        }
        if self.acl.secret_key.is_some() && self.acl.secret_key_file.is_some() {
            return rule("secret-key-file", "expected secret-key or secret-key-file, not both");
        }
        let half = self.tls.as_ref().is_some_and(|tls| tls.cert_file.is_some() != tls.key_file.is_some());
        if half {
            return rule("cert-file", "expected with key-file, and key-file with it");
        }
        if self.namespace_v2.as_ref().is_some_and(|name| Namespace::new(name).is_err()) {
            return rule("namespace-v2", "expected 1 to 100 characters of A-Z a-z 0-9 _ - |");
        }
        if self.unit_name.as_ref().is_some_and(|name| !is_instance_name(name)) {
            return rule(
                "unit-name",
                "expected 1 to 64 characters of A-Z a-z 0-9 _ - . with one that is no dot",
            );
        }
        Ok(())
    }
}

fn namespace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Namespace, D::Error> {
    Namespace::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl AclSettings {
    /// The account, where there is one: what is given here, else what `environment` has for the cluster, none for the default
    /// one.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn credentials(
        &self,
        cluster: Option<&str>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Credentials>, CredentialsError> {
        let table = cluster.map_or("client.acl".to_owned(), |name| format!("clusters.{name}.acl"));
        let variable = |base: &str| match cluster {
            None => base.to_owned(),
            Some(name) => format!("{base}_{}", name.to_ascii_uppercase().replace('-', "_")),
        };
        let of = |base| environment(&variable(base)).filter(|value| !value.is_empty());
        let access_key = self.access_key.clone().or_else(|| of("GANTRY_ACCESS_KEY"));
        let secret = match (&self.secret_key, &self.secret_key_file) {
            (Some(Secret(secret)), _) => Some(secret.clone()),
            (None, Some(file)) => {
                let read = std::fs::read_to_string(file);
                let text = read.map_err(|source| CredentialsError::File { file: file.clone(), source })?;
                Some(text.trim().to_owned())
            }
            (None, None) => of("GANTRY_SECRET_KEY"),
        };
        let token = self.security_token.clone().map(|Secret(token)| token);
        let token = token.or_else(|| of("GANTRY_SECURITY_TOKEN"));
        match (access_key, secret.filter(|secret| !secret.is_empty())) {
            (None, None) => Ok(None),
            (Some(account), None) => {
                Err(CredentialsError::NoSecret { account, table, variable: variable("GANTRY_SECRET_KEY") })
            }
            (None, Some(_)) => {
                Err(CredentialsError::NoAccount { table, variable: variable("GANTRY_ACCESS_KEY") })
            }
            (Some(account), Some(secret)) => {
                let credentials = Credentials::new(account, secret);
                Ok(Some(match token {
                    Some(token) => credentials.with_security_token(token),
                    None => credentials,
                }))
            }
        }
    }
}

impl GantryConfig {
    /// What a client of the default cluster starts with.
    ///
    /// # Errors
    /// The account cannot be had.
    pub fn client_config(&self) -> Result<ClientConfig, CredentialsError> {
        self.client_config_of(None)
    }

    /// What a client of this cluster starts with; none for the default one.
    ///
    /// # Errors
    /// The account cannot be had, or there is no such cluster.
    pub fn client_config_of(&self, cluster: Option<&str>) -> Result<ClientConfig, CredentialsError> {
        let (name_servers, client) = match cluster {
            None => (self.name_server.as_str(), &self.client),
            Some(name) => self
                .clusters
                .get(name)
                .map(|client| (client.name_server.as_deref().unwrap_or_default(), client))
                .ok_or_else(|| self.no_cluster(name))?,
        };
        let credentials = client.acl.credentials(cluster, |name| std::env::var(name).ok())?;
        let tls = client.tls.clone().map(|tls| TlsSettings {
            ca_file: tls.ca_file,
            cert_file: tls.cert_file,
            key_file: tls.key_file,
            server_name: tls.server_name,
            insecure: tls.insecure,
        });
        Ok(ClientConfig {
            name_servers: name_servers.to_owned(),
            fetch_name_server_interval: client.fetch_name_server_interval.duration(),
            instance_name: Some(self.instance_name.clone()).filter(|name| name != DEFAULT_INSTANCE),
            unit_name: client.unit_name.clone(),
            unit_mode: client.unit_mode,
            vip_channel_enabled: client.vip_channel_enabled,
            namespace: client.namespace.clone(),
            poll_name_server_interval: client.poll_name_server_interval.duration(),
            heartbeat_broker_interval: client.heartbeat_broker_interval.duration(),
            use_heartbeat_v2: client.use_heartbeat_v2,
            mq_client_api_timeout: client.mq_client_api_timeout.duration(),
            remoting: RemotingSettings {
                credentials: credentials.map(Arc::new),
                namespace_v2: client.namespace_v2.as_deref().map(Arc::from),
                lanes: usize::try_from(client.pull_connections).unwrap_or(1),
                ..RemotingSettings::default()
            },
            tls,
            ..ClientConfig::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(acl: &str, environment: &[(&str, &str)]) -> Result<Option<Credentials>, String> {
        let config = GantryConfig::from_toml("gantry.toml", acl).map_err(|error| error.to_string())?;
        let find = |name: &str| environment.iter().find(|(known, _)| *known == name);
        let credentials = config.client.acl.credentials(None, |name| Some(find(name)?.1.to_owned()));
        credentials.map_err(|error| error.to_string())
    }

    #[test]
    fn an_account_comes_from_the_file_or_the_environment() {
        let both = [("GANTRY_ACCESS_KEY", "env"), ("GANTRY_SECRET_KEY", "s"), ("GANTRY_SECURITY_TOKEN", "t")];
        assert_eq!(credentials("", &[]), Ok(None));
        let of_environment = Credentials::new("env", "s").with_security_token("t");
        assert_eq!(credentials("", &both), Ok(Some(of_environment)));
        let file = "[client.acl]\naccess-key = \"file\"\n";
        assert_eq!(credentials(file, &both[1..2]), Ok(Some(Credentials::new("file", "s"))));
    }

    #[test]
    fn half_an_account_is_refused_with_what_is_missing() {
        let error = credentials("[client.acl]\naccess-key = \"me\"\n", &[]).unwrap_err();
        assert!(error.contains("access key me has no secret"), "{error}");
        let error = credentials("", &[("GANTRY_SECRET_KEY", "s")]).unwrap_err();
        assert!(error.contains("no access key"), "{error}");
        let absent = "[client.acl]\naccess-key = \"me\"\nsecret-key-file = \"absent\"\n";
        assert!(credentials(absent, &[]).unwrap_err().contains("from absent"));
    }

    #[test]
    fn a_secret_is_in_no_error_and_no_debug_text() {
        let text = "[client.acl]\naccess-key = \"me\"\nsecret-key = \"hidden-secret\"\n";
        let config = GantryConfig::from_toml("gantry.toml", text).unwrap();
        assert!(!format!("{config:?}").contains("hidden-secret"));
        let wrong = "[client.acl]\nsecret-key = [\"hidden-secret\"]\n";
        let error = GantryConfig::from_toml("gantry.toml", wrong).unwrap_err().to_string();
        assert!(error.contains("secret-key") && !error.contains("hidden-secret"), "{error}");
    }

    #[test]
    fn a_client_says_who_it_is() {
        let text = "instance-name = \"orders\"\n[client]\nnamespace = \"INST\"\nnamespace-v2 = \"tenant\"\n\
                    unit-name = \"unit1\"\nunit-mode = true\n";
        let client = GantryConfig::from_toml("gantry.toml", text).unwrap().client_config().unwrap();
        assert_eq!(client.namespace, Namespace::new("INST").unwrap());
        assert_eq!(client.remoting.namespace_v2.as_deref(), Some("tenant"));
        assert_eq!(client.instance_name.as_deref(), Some("orders"));
        assert_eq!((client.unit_name.as_deref(), client.unit_mode), (Some("unit1"), true));
        let client = GantryConfig::default().client_config().unwrap();
        assert!(client.namespace.is_none() && client.remoting.namespace_v2.is_none());
        assert_eq!((client.instance_name, client.unit_name, client.unit_mode), (None, None, false));
    }

    #[test]
    fn what_would_not_do_in_a_name_is_refused_with_its_key() {
        for (key, value) in [("namespace", "a%b"), ("namespace-v2", ""), ("unit-name", "a@b")] {
            let text = format!("[client]\n{key} = \"{value}\"\n");
            let error = GantryConfig::from_toml("gantry.toml", &text).unwrap_err().to_string();
            assert!(error.starts_with("gantry.toml:2") && error.contains(key), "{error}");
            assert!(error.contains("expected 1 to"), "{error}");
        }
    }

    #[test]
    fn tls_is_there_with_its_table() {
        let tls = |text: &str| GantryConfig::from_toml("gantry.toml", text).unwrap().client.tls;
        assert_eq!(tls(""), None);
        assert_eq!(tls("[client.tls]\n"), Some(TlsFiles::default()));
        let half = GantryConfig::from_toml("gantry.toml", "[client.tls]\ncert-file = \"a\"\n");
        assert!(
            half.unwrap_err().to_string().starts_with("gantry.toml:2: cert-file: expected with key-file")
        );
    }
}
