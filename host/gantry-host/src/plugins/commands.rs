//! What an operator asks of a plugin's versions, and how it is done.

use tokio::sync::oneshot;

use super::candidate::{Candidate, Tried};
use super::holding::short;
use super::loads::{Content, Purpose, Work};
use super::registry::Registry;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Bring back the version whose hash begins so, else the one before.
    Rollback(Option<String>),
    /// Let the version on trial serve, or the content of the file that is held back.
    Promote,
    /// End the trial.
    Abort,
}

/// Something asked of the registry.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) plugin: String,
    pub(crate) deed: Deed,
    pub(crate) reply: Reply,
}

/// Where the answer goes: what was done, in a sentence.
pub(super) type Reply = oneshot::Sender<Result<String, Refusal>>;

/// Why it was not done, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Whether there is no such thing, rather than that it cannot be done now.
    pub(crate) missing: bool,
    pub(crate) error: String,
    pub(crate) fix: String,
}

impl Refusal {
    pub(super) fn missing(error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { missing: true, error: error.into(), fix: fix.into() }
    }

    pub(super) fn conflict(error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { missing: false, error: error.into(), fix: fix.into() }
    }
}

impl Registry {
    /// Does what an operator asks; the reply may come later.
    pub(super) async fn command(&mut self, command: Command) {
        let Command { plugin, deed, reply } = command;
        if self.entry(&plugin).is_none() || self.is_native(&plugin) || !self.lives.contains_key(&plugin) {
            let error = format!("there is no plugin file {plugin}.wasm here");
            let refusal = Refusal::missing(error, "`gantry plugin list` shows the plugins");
            let _asker_gone = reply.send(Err(refusal));
            return;
        }
        match deed {
            Deed::Rollback(to) => self.roll_back(&plugin, to.as_deref(), reply),
            Deed::Promote => self.promote(&plugin, reply).await,
            Deed::Abort => {
                let done = match self.life(&plugin).candidate.clone() {
                    Some(candidate) => {
                        self.give_up_candidate(&plugin, "an operator aborted its trial");
                        Ok(format!("plugin {plugin}: the {} has ended", candidate.role()))
                    }
                    None => Err(Refusal::conflict(
                        format!("plugin {plugin} has no version on trial"),
                        format!("`gantry plugin rollback {plugin}` brings back the version before"),
                    )),
                };
                let _asker_gone = reply.send(done);
            }
        }
    }

    fn roll_back(&mut self, stem: &str, to: Option<&str>, reply: Reply) {
        match self.rollback_target(stem, to) {
            Ok(hash) => {
                let content = Content::Kept(self.life(stem).versions.content(&hash));
                let why = "rolled back by an operator".to_owned();
                let purpose = Purpose::BringBack { why, reply: Some(reply) };
                self.begin_load(stem, Work { content, purpose });
            }
            Err(refusal) => {
                let _asker_gone = reply.send(Err(refusal));
            }
        }
    }

    fn rollback_target(&mut self, stem: &str, to: Option<&str>) -> Result<String, Refusal> {
        let serving = self.entry(stem).and_then(|entry| entry.hash).map(|hash| hash.to_string());
        if self.life(stem).candidate.is_some() {
            let error = format!("plugin {stem} has a version on trial");
            return Err(Refusal::conflict(
                error,
                format!("`gantry plugin abort {stem}` ends the trial first"),
            ));
        }
        let history = format!("GET /plugins/{stem} lists the versions that served");
        let versions = &self.life(stem).versions;
        let target = match to {
            Some(prefix) => versions.find(prefix).ok_or_else(|| {
                let error =
                    format!("no version of plugin {stem} that served here and is kept begins with {prefix}");
                Refusal::missing(error, history)
            })?,
            None => versions.before(serving.as_deref().unwrap_or_default()).ok_or_else(|| {
                let error = format!("no other version of plugin {stem} has served here and is kept");
                Refusal::conflict(error, "put another file into the plugins directory")
            })?,
        };
        let hash = target.hash.clone();
        if Some(&hash) == serving.as_ref() {
            let error = format!("version {} of plugin {stem} serves already", short(&hash));
            return Err(Refusal::conflict(error, "name another version"));
        }
        match self.pinned_otherwise(stem, &hash) {
            Some(pinned) => Err(Refusal::conflict(pinned, format!("change pin under [plugin.{stem}]"))),
            None => Ok(hash),
        }
    }

    async fn promote(&mut self, stem: &str, reply: Reply) {
        let candidate = self.life(stem).candidate.clone();
        let content = match candidate.as_deref() {
            Some(Candidate { loaded, trial: Tried::Canary(..), .. }) => {
                let (loaded, hash) = (loaded.clone(), loaded.plugin.hash.to_string());
                let done = self.take_over(stem, loaded, "an operator promoted a canary").await;
                let done = done.map(|()| format!("plugin {stem}: version {} serves", short(&hash)));
                let fix = "the version that served goes on; see the reason";
                let _asker_gone = reply.send(done.map_err(|error| Refusal::conflict(error, fix)));
                return;
            }
            // Loaded anew, with its effects.
            Some(Candidate { loaded, trial: Tried::Shadow(..), .. }) => {
                Content::Kept(self.life(stem).versions.content(&loaded.plugin.hash.to_string()))
            }
            None => match self.held_file(stem) {
                Ok(content) => content,
                Err(refusal) => {
                    let _asker_gone = reply.send(Err(refusal));
                    return;
                }
            },
        };
        self.begin_load(stem, Work { content, purpose: Purpose::Promote(Some(reply)) });
    }

    /// The plugin's file, if its content is held back or in quarantine and no pin is why.
    fn held_file(&mut self, stem: &str) -> Result<Content, Refusal> {
        let file = self.life(stem).file.clone().unwrap_or_default();
        if let Some(pinned) = self.pinned_otherwise(stem, &file) {
            return Err(Refusal::conflict(pinned, format!("change pin under [plugin.{stem}]")));
        }
        match self.keeps_from_serving(stem, &file) {
            Some(_) => Ok(Content::File(self.config.plugins.join(format!("{stem}.wasm")))),
            None => Err(Refusal::conflict(
                format!("plugin {stem} has no version on trial, and its file is not held back"),
                "put another file into the plugins directory",
            )),
        }
    }
}
