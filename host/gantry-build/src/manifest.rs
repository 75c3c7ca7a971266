//! `gantry-plugin.toml`: what a plugin's directory says of itself.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{BuildError, at};

/// The manifest's name in a plugin's directory.
pub const MANIFEST: &str = "gantry-plugin.toml";

/// What a listener exports that says of its messages what it has to through `delivery`.
const LEAN_LISTENER: &str = "lean-listener";

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// C, compiled by zig or wasi-sdk.
    C,
    /// Go 1.24 or later.
    Go,
    /// JavaScript, in QuickJS.
    #[serde(alias = "js")]
    JavaScript,
    /// Python, in CPython.
    Python,
    /// Rust.
    Rust,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::C, Self::Go, Self::JavaScript, Self::Python, Self::Rust];

    /// Its name in the manifest and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Go => "go",
            Self::JavaScript => "javascript",
            Self::Python => "python",
            Self::Rust => "rust",
        }
    }

    /// Where its SDK is, below `guest-sdk/`.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::JavaScript => "js",
            other => other.name(),
        }
    }
}

/// What a plugin does for the host: the interface it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Consumes messages (RocketMQ: MessageListener).
    Listener,
    /// Says which queue a message is sent to (RocketMQ: MessageQueueSelector).
    Selector,
    /// Says which queues are whose (RocketMQ: AllocateMessageQueueStrategy).
    Strategy,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Listener, Self::Selector, Self::Strategy];

    /// Its name in the manifest and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Selector => "selector",
            Self::Strategy => "strategy",
        }
    }
}

/// An interface of the host that a plugin asks for. All but `delivery` need a grant in `gantry.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Import {
    /// Questions about the batch at hand, and early settling.
    Delivery,
    /// Counters, gauges and histograms.
    Metrics,
    /// Sending messages.
    Producer,
}

impl Import {
    /// The interface's name in the WIT.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Metrics => "metrics",
            Self::Producer => "producer",
        }
    }
}

macro_rules! names {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    )*};
}
names!(Language, Role, Import);

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = if text == "js" { "javascript" } else { text };
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|language| language.name() == text);
        found.ok_or_else(|| format!("there is no language `{text}`; there are {}", known()))
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| format!("there is no role `{text}`; there are {}", known()))
    }
}

/// A plugin's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The component's file name without `.wasm`: 1 to 64 of `A-Z a-z 0-9 _ -`, a letter or digit first.
    pub name: String,
    /// What it is written in.
    pub language: Language,
    /// What it does, at least one role, each once. A listener unless said otherwise.
    #[serde(default = "a_listener")]
    pub roles: Vec<Role>,
    /// What it asks of the host. Nothing unless said otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<Import>,
}

fn a_listener() -> Vec<Role> {
    vec![Role::Listener]
}

impl Manifest {
    /// The manifest of a plugin's directory. A directory with only a `Cargo.toml` is a plugin in Rust, with the directory's
    /// name.
    ///
    /// # Errors
    /// There is neither, or the manifest breaks a rule.
    pub fn read(directory: &Path) -> Result<Self, BuildError> {
        let file = directory.join(MANIFEST);
        if !file.exists() {
            return Self::of_crate(directory);
        }
        let text = fs::read_to_string(&file).map_err(at(&file))?;
        let manifest: Self = toml::from_str(&text)
            .map_err(|error| BuildError::Manifest { file: file.clone(), reason: error.to_string() })?;
        manifest.check().map_err(|reason| BuildError::Manifest { file, reason })?;
        Ok(manifest)
    }

    fn of_crate(directory: &Path) -> Result<Self, BuildError> {
        let no_plugin = || BuildError::NoPlugin { directory: directory.to_path_buf() };
        let whole = directory.canonicalize().map_err(|_| no_plugin())?;
        let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
        match name {
            Some(name) if whole.join("Cargo.toml").is_file() => {
                Ok(Self { name, language: Language::Rust, roles: a_listener(), imports: Vec::new() })
            }
            _ => Err(no_plugin()),
        }
    }

    /// The rules beyond the form, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        if self.roles.is_empty() {
            return Err("`roles` is empty; a plugin has at least one role, such as \"listener\"".into());
        }
        let twice =
            self.roles.iter().enumerate().find(|(at, role)| self.roles.iter().take(*at).any(|r| r == *role));
        match twice {
            Some((_, role)) => Err(format!("`roles` names \"{role}\" twice")),
            None => Ok(()),
        }
    }

    /// The interface that a role of it exports. SDKs that read a batch where it lies take it as bytes, and say only what is
    /// not a success.
    pub(crate) fn interface(&self, role: Role) -> &'static str {
        match role {
            Role::Listener if self.language == Language::C => LEAN_LISTENER,
            Role::Listener => "listener",
            Role::Selector => "selector",
            Role::Strategy => "strategy",
        }
    }

    /// Whether a role of it asks the host about its messages, whatever the plugin itself imports.
    pub(crate) fn needs_delivery(&self) -> bool {
        self.roles.iter().any(|role| self.interface(*role) == LEAN_LISTENER)
    }

    /// Whether it plays a role.
    #[must_use]
    pub fn plays(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// A plugin's name is a file's name, a crate's, a Go module's.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= 64 && name.bytes().all(sound) {
        return Ok(());
    }
    Err(format!("`{name}` is no plugin's name: 1 to 64 of A-Z a-z 0-9 _ -, with a letter or digit first"))
}

/// Where a directory's manifest would be.
pub(crate) fn file(directory: &Path) -> PathBuf {
    directory.join(MANIFEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, String> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(MANIFEST), text).unwrap();
        Manifest::read(directory.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_manifest_of_two_lines_is_a_listener() {
        let manifest = read("name = \"orders\"\nlanguage = \"js\"\n").unwrap();
        assert_eq!(manifest.language, Language::JavaScript);
        assert_eq!((manifest.roles, manifest.imports), (vec![Role::Listener], vec![]));
    }

    #[test]
    fn what_breaks_a_rule_is_told_with_the_rule() {
        let reason = |text| read(text).unwrap_err();
        assert!(reason("name = \"a b\"\nlanguage = \"c\"").contains("`a b` is no plugin's name"));
        assert!(reason("name = \"a\"\nlanguage = \"c\"\nroles = []").contains("at least one role"));
        let twice = "name = \"a\"\nlanguage = \"c\"\nroles = [\"listener\", \"listener\"]";
        assert!(reason(twice).contains("names \"listener\" twice"));
        assert!(reason("name = \"a\"\nlanguage = \"cobol\"").contains("cobol"));
        assert!(reason("name = \"a\"\nlanguage = \"c\"\nrole = \"listener\"").contains("unknown field"));
    }

    #[test]
    fn a_crate_is_a_plugin_and_an_empty_directory_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let error = Manifest::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("gantry plugin new"), "{error}");
        fs::write(directory.path().join("Cargo.toml"), "").unwrap();
        assert_eq!(Manifest::read(directory.path()).unwrap().language, Language::Rust);
    }
}
