//! The tables of `[plugin.NAME]` that grant something, or say how much of it.

use std::path::PathBuf;

use gantry_engine::{Directory, Grant, HttpHost};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::units::{ByteSize, Millis};

/// `[plugin.NAME.http]`: requests a plugin may make (`wasi:http/outgoing-handler`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpSettings {
    /// Whom it may ask: `api.example.com` at the port of the scheme, `api.example.com:8443`, `*.example.com` for every
    /// name below. A request to anyone else is denied.
    #[serde(deserialize_with = "hosts")]
    pub hosts: Vec<HttpHost>,
    /// How long each step of a request may take: connecting, the first byte, a pause between bytes. No request has longer
    /// than the call it is made in. Default 10 s.
    #[serde(default = "ten_seconds", deserialize_with = "some_time")]
    pub timeout: Millis,
}

/// `[[plugin.NAME.directories]]`: a directory a plugin may open (`wasi:filesystem/preopens`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DirectorySetting {
    /// Where it is on this machine. It must be there when the plugin is loaded.
    pub host: PathBuf,
    /// The path the plugin opens, beginning with `/`.
    #[serde(deserialize_with = "guest_path")]
    pub guest: String,
    /// Whether the plugin may change what is in it. Default `false`.
    #[serde(default)]
    pub writable: bool,
}

/// `[plugin.NAME.keyvalue]`: how much a plugin may keep (`wasi:keyvalue`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KeyvalueSettings {
    /// Most bytes of keys and values, 64 for each key included. Default 16 MiB.
    pub quota: ByteSize,
}

impl Default for KeyvalueSettings {
    fn default() -> Self {
        Self { quota: ByteSize(16 << 20) }
    }
}

/// `[plugin.NAME.logging]`: how much a plugin may say (`wasi:logging`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LoggingSettings {
    /// Most lines a second, over all instances; what goes beyond is dropped and counted. Default 100.
    pub lines_per_second: u32,
}

impl Default for LoggingSettings {
    fn default() -> Self {
        Self { lines_per_second: 100 }
    }
}

impl From<&DirectorySetting> for Directory {
    fn from(setting: &DirectorySetting) -> Self {
        let DirectorySetting { host, guest, writable } = setting.clone();
        Self { host, guest, writable }
    }
}

/// What may be granted by its name.
pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().try_for_each(|name| Grant::listed(name).map(drop).map_err(D::Error::custom))?;
    Ok(names)
}

fn ten_seconds() -> Millis {
    Millis(10_000)
}

fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
    let time = Millis::deserialize(deserializer)?;
    if time.0 == 0 { Err(D::Error::custom("expected at least 1 ms")) } else { Ok(time) }
}

fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HttpHost>, D::Error> {
    let hosts = Vec::<String>::deserialize(deserializer)?;
    hosts.iter().map(|host| host.parse().map_err(D::Error::custom)).collect()
}

fn guest_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    let plain = !path.split('/').any(|part| part == "." || part == "..") && !path.contains('\0');
    if path.starts_with('/') && plain {
        return Ok(path);
    }
    Err(D::Error::custom(format!(
        "`{path}` is no absolute path, expected one such as `/data`, without `.` and `..`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GantryConfig, PluginSettings};

    fn settings(text: &str) -> PluginSettings {
        GantryConfig::from_toml("gantry.toml", text).unwrap().plugin_settings("enrich")
    }

    fn error(text: &str) -> String {
        GantryConfig::from_toml("gantry.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_granted_unless_it_is_said() {
        let settings = settings("[plugin.enrich]\n");
        assert_eq!((settings.config, settings.http), (None, None));
        assert!(settings.directories.is_empty() && settings.environment.is_empty());
        assert_eq!(settings.keyvalue.quota, ByteSize(16 << 20));
        assert_eq!(settings.logging.lines_per_second, 100);
    }

    #[test]
    fn every_table_is_read() {
        let settings = settings(
            r#"
            [plugin.enrich]
            grants = ["keyvalue", "logging"]
            keyvalue.quota = "1MiB"
            logging.lines-per-second = 5
            [plugin.enrich.config]
            target = "orders-enriched"
            [plugin.enrich.http]
            hosts = ["api.example.com", "*.example.org:8443"]
            timeout = "2s"
            [[plugin.enrich.directories]]
            host = "/srv/rates"
            guest = "/rates"
            [plugin.enrich.environment]
            TZ = "UTC"
            "#,
        );
        assert_eq!(settings.config.unwrap()["target"], "orders-enriched");
        let http = settings.http.unwrap();
        assert_eq!(http.hosts, ["api.example.com".parse().unwrap(), "*.example.org:8443".parse().unwrap()]);
        assert_eq!(http.timeout, Millis(2_000));
        assert_eq!(
            settings.directories,
            [DirectorySetting { host: "/srv/rates".into(), guest: "/rates".into(), writable: false }]
        );
        assert_eq!(settings.environment["TZ"], "UTC");
        assert_eq!((settings.keyvalue.quota, settings.logging.lines_per_second), (ByteSize(1 << 20), 5));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let e = error(
            "[plugin.enrich.http]\nhosts = [\n  \"api.example.com\",\n  \"https://a.example.com\",\n]\n",
        );
        assert!(
            e.starts_with("gantry.toml:2: hosts: `https://a.example.com`") && e.contains("without scheme"),
            "{e}"
        );
        let e = error("[plugin.other]\ngrants = [\"clocks\"]\n[plugin.enrich]\ngrants = [\"network\"]\n");
        assert!(e.starts_with("gantry.toml:4: grants: `network` is not something"), "{e}");
        let e = error("[plugin.enrich.http]\ntimeout = \"1s\"\n");
        assert!(e.contains("hosts"), "{e}");
        let e = error("[plugin.enrich.http]\nhosts = []\ntimeout = 0\n");
        assert!(e.starts_with("gantry.toml:3: timeout: expected at least 1 ms"), "{e}");
        let e = error("[[plugin.enrich.directories]]\nhost = \"/srv\"\nguest = \"../srv\"\n");
        assert!(e.starts_with("gantry.toml:3: guest: ") && e.contains("/data"), "{e}");
        let e = error("[plugin.enrich.config]\n\nlimit = 5\n");
        assert!(e.starts_with("gantry.toml:3: limit: ") && e.contains("expected a string"), "{e}");
    }
}
