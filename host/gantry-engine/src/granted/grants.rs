//! What one plugin may touch: handed to the engine with the plugin, kept beside each of its instances.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use thiserror::Error;

use super::{
    HttpGrant, KeyValue, Metrics, PluginLog, Producer, Suppressed,
    without_effects::{self, Inert},
};

/// What a component may import beyond `gantry:rocketmq` and the parts of WASI that hand out nothing. Default: nothing.
#[derive(Clone, Default)]
pub struct Grants {
    /// `wasi:clocks`: the time of day, a monotonic clock, and waiting (never past the deadline of the call).
    pub clocks: bool,
    /// `wasi:random`: random bytes from the operating system.
    pub random: bool,
    /// `gantry:rocketmq/producer`: sending messages to the host's cluster.
    pub producer: Option<Arc<dyn Producer>>,
    /// `wasi:config/store`: these values by name.
    pub config: Option<Arc<BTreeMap<String, String>>>,
    /// `wasi:keyvalue`: a store of the plugin's own.
    pub keyvalue: Option<Arc<dyn KeyValue>>,
    /// `wasi:logging`: lines in the host's log.
    pub logging: Option<Arc<PluginLog>>,
    /// `gantry:rocketmq/metrics`: figures of the plugin's own.
    pub metrics: Option<Arc<dyn Metrics>>,
    /// `wasi:http/outgoing-handler`: requests to listed hosts.
    pub http: Option<Arc<HttpGrant>>,
    /// What `wasi:filesystem/preopens` hands out. Default: none, so that there is nothing to open.
    pub directories: Vec<Directory>,
    /// What `wasi:cli/environment` tells. Default: nothing.
    pub environment: Vec<(String, String)>,
    /// What was left undone, where these grants are [`Grants::without_effects`].
    pub suppressed: Option<Arc<Suppressed>>,
}

/// A directory of the host's that a plugin may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where it is on this machine.
    pub host: PathBuf,
    /// The path under which the plugin finds it, such as `/data`.
    pub guest: String,
    /// Whether the plugin may change what is in it.
    pub writable: bool,
}

/// Something a component must be granted before it loads, under the name configuration uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// See [`Grants::clocks`].
    Clocks,
    /// See [`Grants::random`].
    Random,
    /// See [`Grants::producer`].
    Producer,
    /// See [`Grants::keyvalue`].
    Keyvalue,
    /// See [`Grants::logging`].
    Logging,
    /// See [`Grants::metrics`].
    Metrics,
    /// See [`Grants::config`]: a table of its own.
    Config,
    /// See [`Grants::http`]: a table of its own.
    Http,
}

impl Grant {
    /// Every grant there is.
    pub const ALL: [Grant; 8] = [
        Grant::Clocks,
        Grant::Random,
        Grant::Producer,
        Grant::Keyvalue,
        Grant::Logging,
        Grant::Metrics,
        Grant::Config,
        Grant::Http,
    ];

    /// The name in a configuration's list of grants, or that of its table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Grant::Clocks => "clocks",
            Grant::Random => "random",
            Grant::Producer => "producer",
            Grant::Keyvalue => "keyvalue",
            Grant::Logging => "logging",
            Grant::Metrics => "metrics",
            Grant::Config => "config",
            Grant::Http => "http",
        }
    }

    /// Whether it is granted by its name in `grants = [...]`; the others have tables of their own.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        !matches!(self, Grant::Config | Grant::Http)
    }

    /// The grant of this name in `grants = [...]`.
    ///
    /// # Errors
    /// A name that is none, or that of a table.
    pub fn listed(name: &str) -> Result<Self, UnknownGrant> {
        let known = Self::ALL.into_iter().find(|grant| grant.is_listed() && grant.name() == name);
        known.ok_or_else(|| UnknownGrant(name.to_owned()))
    }
}

/// A name in a list of grants that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not something that can be granted to a plugin by its name; those are `clocks`, `random`, `producer`, \
     `keyvalue`, `logging` and `metrics`, while config, http, directories and environment have tables of their own, \
     such as [plugin.NAME.http]"
)]
pub struct UnknownGrant(pub String);

impl Grants {
    /// Nothing beyond what every component gets.
    pub const NONE: Grants = Grants {
        clocks: false,
        random: false,
        producer: None,
        config: None,
        keyvalue: None,
        logging: None,
        metrics: None,
        http: None,
        directories: Vec::new(),
        environment: Vec::new(),
        suppressed: None,
    };

    /// Grants by name, such as `["clocks", "producer"]`, with nothing behind the services: a component loads and
    /// describes itself, and whatever it asks of them is answered with an error. `config` and `http` count too.
    ///
    /// # Errors
    /// The first name that is no grant.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self, UnknownGrant> {
        let mut grants = Self::NONE;
        for name in names {
            let name = name.as_ref();
            let grant = Grant::ALL.into_iter().find(|grant| grant.name() == name);
            grants.allow(grant.ok_or_else(|| UnknownGrant(name.to_owned()))?);
        }
        Ok(grants)
    }

    /// Adds one, with nothing behind it where it is a service that is not there yet.
    pub fn allow(&mut self, grant: Grant) {
        match grant {
            Grant::Clocks => self.clocks = true,
            Grant::Random => self.random = true,
            Grant::Producer => _ = self.producer.get_or_insert_with(|| Arc::new(Inert)),
            Grant::Keyvalue => _ = self.keyvalue.get_or_insert_with(|| Arc::new(Inert)),
            Grant::Logging => _ = self.logging.get_or_insert_with(|| Arc::new(PluginLog::new("unnamed", 0))),
            Grant::Metrics => _ = self.metrics.get_or_insert_with(|| Arc::new(Inert)),
            Grant::Config => _ = self.config.get_or_insert_default(),
            Grant::Http => _ = self.http.get_or_insert_with(|| Arc::new(HttpGrant::to(Vec::new()))),
        }
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn allows(&self, grant: Grant) -> bool {
        match grant {
            Grant::Clocks => self.clocks,
            Grant::Random => self.random,
            Grant::Producer => self.producer.is_some(),
            Grant::Keyvalue => self.keyvalue.is_some(),
            Grant::Logging => self.logging.is_some(),
            Grant::Metrics => self.metrics.is_some(),
            Grant::Config => self.config.is_some(),
            Grant::Http => self.http.is_some(),
        }
    }

    /// The same grants for a version that runs on copies of what another consumes: it reads what it may, and changes
    /// nothing. Sends and writes appear to succeed, with receipts that say so; [`Grants::suppressed`] counts what is left undone.
    #[must_use]
    pub fn without_effects(&self) -> Self {
        without_effects::of(self)
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = Grant::ALL.into_iter().filter(|grant| self.allows(*grant)).map(Grant::name);
        f.debug_struct("Grants")
            .field("granted", &granted.collect::<Vec<_>>())
            .field("directories", &self.directories)
            .field("environment", &self.environment.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("without_effects", &self.suppressed.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_by_name_and_unknown_names_are_refused() {
        let names = |grants: &Grants| -> Vec<_> {
            Grant::ALL.into_iter().filter(|grant| grants.allows(*grant)).map(Grant::name).collect()
        };
        assert_eq!(names(&Grants::from_names(&["random"]).unwrap()), ["random"]);
        assert!(names(&Grants::from_names::<&str>(&[]).unwrap()).is_empty());
        let all = Grant::ALL.map(Grant::name);
        assert_eq!(names(&Grants::from_names(&all).unwrap()), all);
        let error = Grants::from_names(&["clocks", "network"]).unwrap_err();
        assert_eq!(error, UnknownGrant("network".into()));
    }

    #[test]
    fn what_has_a_table_is_not_granted_by_its_name() {
        assert_eq!(Grant::listed("producer"), Ok(Grant::Producer));
        assert!(Grant::listed("http").unwrap_err().to_string().contains("[plugin.NAME.http]"));
    }

    #[test]
    fn a_value_of_the_environment_is_not_shown() {
        let grants = Grants { environment: vec![("TOKEN".into(), "secret".into())], ..Grants::NONE };
        let shown = format!("{grants:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("secret"), "{shown}");
    }
}
