//! What keeps the content of a plugin's file from serving though nothing may be wrong with it: a pin, a rollback, quarantine.

use std::sync::Arc;

use gantry_engine::PluginState;

use super::loads::{Content, Purpose, Work};
use super::registry::Registry;
use crate::observer::PluginChange;
use crate::status::HeldBack;

impl Registry {
    /// Why content of this hash may not serve, though nothing may be wrong with it.
    pub(super) fn keeps_from_serving(&mut self, stem: &str, hash: &str) -> Option<String> {
        if let Some(pinned) = self.pinned_otherwise(stem, hash) {
            return Some(pinned);
        }
        let versions = &self.life(stem).versions;
        if let Some(held) = versions.record().held_back.as_ref().filter(|held| held.hash == hash) {
            return Some(in_words(held));
        }
        versions.quarantine_of(hash).map(|entry| {
            format!(
                "in quarantine: {}; another content, or `gantry plugin promote {stem}`, ends that",
                entry.reason
            )
        })
    }

    pub(super) fn pinned_otherwise(&self, stem: &str, hash: &str) -> Option<String> {
        let pin = self.config.plugin_settings(stem).pin?;
        (!hash.starts_with(&pin)).then(|| {
            format!(
                "held: pinned to {pin}, and the file is {}; change or remove pin under [plugin.{stem}]",
                short(hash)
            )
        })
    }

    /// After a restart the version that served before is the one that the file may not replace.
    pub(super) fn bring_back_if_nothing_serves(&mut self, stem: &str, held: &str) {
        if self.entry(stem).is_some_and(|entry| entry.serves()) {
            return;
        }
        let pin = self.config.plugin_settings(stem).pin;
        let versions = &self.life(stem).versions;
        let target = match pin {
            Some(pin) => versions.find(&pin),
            None => {
                let may = |hash: &str| hash != held && versions.quarantine_of(hash).is_none();
                versions.serving().filter(|line| may(&line.hash)).or_else(|| versions.before(held))
            }
        };
        let Some(hash) = target.map(|line| line.hash.clone()) else { return };
        let content = Content::Kept(versions.content(&hash));
        let why = "the file's content is held back".to_owned();
        self.begin_load(stem, Work { content, purpose: Purpose::BringBack { why, reply: None } });
    }

    pub(super) fn hold_if_it_is_the_file(&mut self, stem: &str, hash: &str) {
        let is_file = self.life(stem).file.as_deref() == Some(hash);
        if let Some(reason) = is_file.then(|| self.keeps_from_serving(stem, hash)).flatten() {
            self.hold(stem, reason);
        }
        self.show_record(stem);
    }

    /// The file's content is the version that serves, and nothing else is to be said of it.
    pub(super) fn settle_active(&self, stem: &str) {
        self.update(stem, PluginState::Active.name(), None, |entry| {
            (entry.rejected, entry.held) = (None, None);
        });
    }

    /// The file's content does not serve, though nothing is wrong with it.
    pub(super) fn hold(&self, stem: &str, reason: String) {
        tracing::warn!("plugin {stem}: {reason}");
        let told = Some(reason.clone());
        self.change(|entries| {
            let entry = entries.entry(stem.to_owned()).or_default();
            if !entry.serves() {
                entry.state = "held";
            }
            (entry.rejected, entry.held) = (None, Some(reason));
        });
        let change = PluginChange { plugin: stem.to_owned(), state: "held", version: None, reason: told };
        self.observer.plugin_changed(&change);
    }

    /// Lets the status have what is remembered of the plugin's versions.
    pub(super) fn show_record(&mut self, stem: &str) {
        let Some(record) = self.lives.get(stem).map(|life| Arc::clone(life.versions.record())) else {
            return;
        };
        self.change(|entries| {
            if let Some(entry) = entries.get_mut(stem) {
                entry.record = record;
            }
        });
    }
}

pub(super) fn in_words(held: &HeldBack) -> String {
    format!("held back: {}", held.reason)
}

/// As people tell versions apart.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
