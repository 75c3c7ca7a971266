//! The life of a plugin's versions: from new content of its file to the version that serves, at once or after a trial.
//!
//! What keeps content from serving is in `holding`, trials and probation are in `trials`, what operators ask in `commands`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_engine::{ContentHash, Figures, Plugin};

use super::candidate::{Candidate, Probation};
use super::commands::Refusal;
use super::holding::{in_words, short};
use super::loads::{Content, Granting, Loaded, LoadedPlugin, Loading, Purpose, Work};
use super::plan::ListenerPlan;
use super::probation;
use super::registry::Registry;
use crate::group::Listener;
use crate::state::versions::Versions;
use crate::status::HeldBack;

/// What the registry keeps of one plugin beyond what the status shows.
pub(super) struct Life {
    pub(super) versions: Versions,
    pub(super) loading: Loading,
    /// The hash of the file's content as it was last reported.
    pub(super) file: Option<String>,
    pub(super) candidate: Option<Arc<Candidate>>,
    pub(super) probation: Option<Probation>,
}

impl Life {
    pub(super) fn new(versions: Versions) -> Self {
        Self { versions, loading: Loading::default(), file: None, candidate: None, probation: None }
    }

    /// Whether somebody must look at it now and then.
    pub(super) fn is_watched(&self) -> bool {
        self.candidate.is_some() || self.probation.is_some()
    }
}

impl Registry {
    /// Takes new content of a plugin's file: loads it, unless it serves already or may not.
    pub(super) fn consider(&mut self, stem: &str, bytes: Vec<u8>, signature: Option<String>) {
        let hash = ContentHash::of(&bytes);
        let text = hash.to_string();
        self.life(stem).file = Some(text.clone());
        if self.entry(stem).and_then(|entry| entry.hash) == Some(hash) {
            // The file is back at what serves: whatever came in between no longer matters.
            self.life(stem).loading.give_up();
            self.life(stem).versions.hold_back(None);
            self.end_candidate(stem, "its file went back to the version that serves");
            return self.settle_active(stem);
        }
        if self.life(stem).candidate.as_ref().is_some_and(|candidate| candidate.loaded.plugin.hash == hash) {
            return;
        }
        if let Some(reason) = self.keeps_from_serving(stem, &text) {
            self.life(stem).loading.give_up();
            self.hold(stem, reason);
            return self.bring_back_if_nothing_serves(stem, &text);
        }
        self.life(stem).versions.hold_back(None);
        self.begin_load(
            stem,
            Work { content: Content::Read { bytes, signature }, purpose: Purpose::Introduce },
        );
    }

    pub(super) fn begin_load(&mut self, stem: &str, work: Work) {
        if let Some((work, superseded)) = self.life(stem).loading.offer(work) {
            let granting = Granting {
                settings: self.config.plugin_settings(stem),
                without_effects: self.loads_a_shadow(stem, &work.purpose),
            };
            let contents = self.life(stem).versions.contents();
            self.loads.begin(stem, work, superseded, granting, contents);
        }
    }

    fn loads_a_shadow(&self, stem: &str, purpose: &Purpose) -> bool {
        matches!(purpose, Purpose::Introduce)
            && self.config.plugin_settings(stem).shadow.is_some()
            && self.entry(stem).is_some_and(|entry| entry.listener.is_some())
    }

    /// A load has ended: the version is put to its purpose, unless newer content came.
    pub(super) async fn loaded(&mut self, loaded: Loaded) {
        let Loaded { stem, purpose, result } = loaded;
        let Some(life) = self.lives.get_mut(&stem) else { return };
        let (counts, next) = life.loading.end();
        if !counts {
            purpose.superseded();
            match next {
                Some(work) => self.begin_load(&stem, work),
                None if self.entry(&stem).is_none() => _ = self.lives.remove(&stem),
                None => {}
            }
            return;
        }
        if self.is_native(&stem) {
            return tracing::warn!("plugin {stem} is left alone: a native listener took its name meanwhile");
        }
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(reason) => {
                let fix = "give the plugin another file, or roll back to another version";
                purpose.answer(Err(Refusal::conflict(reason.clone(), fix)));
                return self.reject(&stem, reason);
            }
        };
        let hash = loaded.plugin.hash.to_string();
        let done = match &purpose {
            Purpose::Introduce => self.introduce(&stem, loaded).await,
            Purpose::Promote(_) => {
                self.take_over(&stem, loaded, "an operator promoted another version").await
            }
            Purpose::BringBack { why, .. } => self.bring_back(&stem, loaded, why).await,
        };
        match done {
            Ok(()) => purpose.answer(Ok(format!("plugin {stem}: version {} serves", short(&hash)))),
            Err(reason) => {
                let fix = "the version that served goes on; see the reason";
                purpose.answer(Err(Refusal::conflict(reason.clone(), fix)));
                self.reject(&stem, reason);
            }
        }
    }

    /// A new version: on trial where that is configured and can be, else it serves at once.
    async fn introduce(&mut self, stem: &str, loaded: LoadedPlugin) -> Result<(), String> {
        self.end_candidate(stem, "newer content came");
        let settings = self.config.plugin_settings(stem);
        if settings.canary.is_none() && settings.shadow.is_none() {
            return self.take_over(stem, loaded, "another version took over").await;
        }
        match self.can_run_beside(stem, &loaded.plugin) {
            Ok(Some(beside)) => match (settings.canary, settings.shadow) {
                (Some(canary), _) => self.begin_canary(stem, loaded, canary, &beside),
                (None, shadow) => self.begin_shadow(stem, loaded, &shadow.unwrap_or_default(), &beside)?,
            },
            Ok(None) => return self.take_over(stem, loaded, "another version took over").await,
            Err(what) => {
                tracing::info!("plugin {stem}: no trial, because the new version {what}: it serves at once");
                if settings.shadow.is_some() {
                    // It was loaded for the shadow, without effects.
                    let content = self.life(stem).versions.content(&loaded.plugin.hash.to_string());
                    let work = Work { content: Content::Kept(content), purpose: Purpose::Promote(None) };
                    self.begin_load(stem, work);
                    return Ok(());
                }
                return self.take_over(stem, loaded, "another version took over").await;
            }
        }
        Ok(())
    }

    /// The listener that the version can be tried beside; none if no listener serves.
    fn can_run_beside(&self, stem: &str, plugin: &Plugin) -> Result<Option<Arc<Listener>>, String> {
        let Some(entry) = self.entry(stem).filter(|entry| entry.serves()) else { return Ok(None) };
        let (Some(listener), Some(module)) = (&entry.listener, &plugin.listener) else {
            return Err("plays other roles".to_owned());
        };
        if entry.roles != plugin.roles() {
            return Err("plays other roles".to_owned());
        }
        let plan = ListenerPlan::of_module(stem, module, &self.config)?;
        listener.plan().runs_beside(&plan)?;
        Ok(Some(Arc::clone(listener)))
    }

    /// Lets a version serve in the place of the one that does.
    pub(super) async fn take_over(
        &mut self,
        stem: &str,
        loaded: LoadedPlugin,
        why_before_ends: &str,
    ) -> Result<(), String> {
        self.serve_and_remember(stem, loaded, why_before_ends, None).await
    }

    async fn serve_and_remember(
        &mut self,
        stem: &str,
        loaded: LoadedPlugin,
        why_before_ends: &str,
        held: Option<String>,
    ) -> Result<(), String> {
        let LoadedPlugin { plugin, bytes } = loaded;
        let on_trial = self.life(stem).candidate.as_ref().map(|candidate| candidate.loaded.plugin.hash);
        if on_trial.is_some_and(|on_trial| on_trial != plugin.hash) {
            self.end_candidate(stem, why_before_ends);
        }
        let before = self.serving_figures(stem);
        let (hash, version) = (plugin.hash.to_string(), plugin.version().to_owned());
        self.serve(stem, plugin, held).await?;
        self.end_candidate(stem, "it serves");
        let settings = self.config.plugin_settings(stem).probation;
        let life = self.life(stem);
        life.versions.began(&hash, &version, bytes, why_before_ends);
        life.versions.release(&hash);
        let begins = before.filter(|_| probation::lasts(&settings, Duration::ZERO));
        life.probation = begins.map(|before| Probation { began: Instant::now(), before });
        self.show_record(stem);
        Ok(())
    }

    /// Lets a version that served before serve again; the file's content is held back if it is another.
    async fn bring_back(&mut self, stem: &str, loaded: LoadedPlugin, why: &str) -> Result<(), String> {
        let hash = loaded.plugin.hash.to_string();
        let file = self.life(stem).file.clone().filter(|file| *file != hash);
        let kept = file.as_ref().and_then(|file| self.keeps_from_serving(stem, file));
        let held_back = file.filter(|_| kept.is_none()).map(|file| HeldBack {
            hash: file,
            reason: format!(
                "{why}, {} serves; another content of the file, or `gantry plugin promote {stem}`, ends that",
                short(&hash)
            ),
        });
        let held = kept.clone().or_else(|| held_back.as_ref().map(in_words));
        self.serve_and_remember(stem, loaded, why, held).await?;
        let life = self.life(stem);
        // It has proved itself before.
        life.probation = None;
        if kept.is_none() {
            life.versions.hold_back(held_back);
        }
        self.show_record(stem);
        Ok(())
    }

    pub(super) fn serving_figures(&self, stem: &str) -> Option<Figures> {
        let listener = self.entry(stem)?.listener.clone()?;
        listener.generation().map(|(_, figures, _)| figures)
    }
}
