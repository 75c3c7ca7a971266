//! Configuration errors: the file, the line, the key, and what was expected.

use std::path::PathBuf;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {}: {source}; give another with --config FILE", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not TOML, names an unknown key, or holds a value of another type.
    #[error("{file}:{line}: {message}\n  {line} | {text}")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The line's text.
        text: String,
        /// What was wrong and what was expected.
        message: String,
    },
}

impl ConfigError {
    /// From the TOML reader's own error.
    pub(super) fn syntax(file: &str, source: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start);
        let (line, text) = line_at(source, offset);
        let key = text.split('=').next().unwrap_or_default().trim();
        let message = match error.message() {
            m if m.contains(key) || key.is_empty() => m.to_owned(),
            m => format!("{key}: {m}"),
        };
        Self::Line { file: file.to_owned(), line, text: text.to_owned(), message }
    }

    /// From a rule of ours about `key`; the line is the first that sets the key.
    pub(super) fn rule(file: &str, source: &str, key: String, message: String) -> Self {
        let sets_key = |line: &&str| line.split('=').next().is_some_and(|left| left.trim() == key);
        let offset =
            source.lines().find(sets_key).map_or(0, |line| line.as_ptr() as usize - source.as_ptr() as usize);
        let (line, text) = line_at(source, offset);
        Self::Line {
            file: file.to_owned(),
            line,
            text: text.to_owned(),
            message: format!("{key}: {message}"),
        }
    }
}

/// A line by number and text; of one that may hold a secret only its key.
fn line_at(source: &str, offset: usize) -> (usize, &str) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.bytes().filter(|b| *b == b'\n').count();
    let text = source.lines().nth(line).unwrap_or_default();
    let (key, _) = text.split_once('=').unwrap_or((text, ""));
    let secret = ["secret", "token"].iter().any(|word| key.contains(word));
    (line + 1, if secret { key.trim_end() } else { text })
}
