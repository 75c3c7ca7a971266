//! Versions on trial, as canaries or in the shadow, and on probation: how each begins, is looked at, and ends.

use std::sync::Arc;
use std::time::Duration;

use super::canary::Verdict;
use super::candidate::{Candidate, Tried};
use super::holding::short;
use super::loads::{Content, LoadedPlugin, Purpose, Work};
use super::probation;
use super::registry::Registry;
use crate::config::{CanarySettings, ShadowSettings, ShareOf};
use crate::group::{Chooser, Listener, Shadow, Trial};

/// How often versions on trial or on probation are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// How long a shadow that is ended may take for the batch it has in hand before that is said.
const SHADOW_GRACE: Duration = Duration::from_secs(5);

impl Registry {
    pub(super) fn begin_canary(
        &mut self,
        stem: &str,
        loaded: LoadedPlugin,
        settings: CanarySettings,
        beside: &Arc<Listener>,
    ) {
        let Some(module) = loaded.plugin.listener.clone() else { return };
        let of = match beside.plan().is_orderly() {
            true => ShareOf::Queues,
            false => settings.of,
        };
        let trial = Arc::new(Trial::new(module, Chooser::new(settings.share, of), settings.crash_streak));
        let share = trial.share();
        let candidate = Candidate::new(loaded, Tried::Canary(settings, Arc::clone(&trial)), beside);
        if let Some(retired) = beside.set_trial(Some(trial)) {
            self.await_drain(stem, retired);
        }
        self.tell_of_candidate(stem, candidate, &share);
    }

    pub(super) fn begin_shadow(
        &mut self,
        stem: &str,
        loaded: LoadedPlugin,
        settings: &ShadowSettings,
        beside: &Arc<Listener>,
    ) -> Result<(), String> {
        let Some(module) = loaded.plugin.listener.clone() else { return Ok(()) };
        let chooser = Chooser::new(settings.share, ShareOf::Batches);
        let share = chooser.describe();
        let shadow = Shadow::start(module, chooser)
            .map_err(|error| format!("there is no thread for its shadow: {error}"))?;
        let tried = Tried::Shadow(Arc::clone(&shadow), share.clone());
        let candidate = Candidate::new(loaded, tried, beside);
        self.end_shadow(beside.set_shadow(Some(shadow)));
        self.tell_of_candidate(stem, candidate, &share);
        Ok(())
    }

    pub(super) fn tell_of_candidate(&mut self, stem: &str, candidate: Candidate, share: &str) {
        let candidate = Arc::new(candidate);
        let version = Some(candidate.loaded.plugin.version().to_owned());
        self.life(stem).candidate = Some(Arc::clone(&candidate));
        self.change(|entries| {
            let entry = entries.entry(stem.to_owned()).or_default();
            (entry.rejected, entry.held) = (None, None);
            entry.candidate = Some(Arc::clone(&candidate));
        });
        let reason = format!("it gets {share}, beside the version that serves");
        self.say(stem, candidate.role(), version, Some(reason));
    }

    /// Ends a trial, if there is one. The candidate finishes what it has.
    pub(super) fn end_candidate(&mut self, stem: &str, why: &str) -> Option<Arc<Candidate>> {
        let candidate = self.lives.get_mut(stem)?.candidate.take()?;
        let entry = self.entry(stem);
        if let Some(listener) = entry.as_ref().and_then(|entry| entry.listener()) {
            let serves_now =
                entry.as_ref().and_then(|entry| entry.hash) == Some(candidate.loaded.plugin.hash);
            if let Some(retired) = listener.set_trial(None).filter(|_| !serves_now) {
                self.await_drain(stem, retired);
            }
            self.end_shadow(listener.set_shadow(None));
        }
        self.change(|entries| {
            if let Some(entry) = entries.get_mut(stem) {
                entry.candidate = None;
            }
        });
        tracing::info!("plugin {stem}: the {} ends: {why}", candidate.role());
        Some(candidate)
    }

    pub(super) fn end_shadow(&self, shadow: Option<Arc<Shadow>>) {
        let Some(shadow) = shadow else { return };
        self.tasks.spawn("end-shadow", async move {
            let ended = tokio::task::spawn_blocking(move || shadow.end(SHADOW_GRACE)).await;
            if !ended.unwrap_or(false) {
                tracing::warn!("a version in the shadow still runs; its thread ends with the call it is in");
            }
        });
    }

    /// Looks at every version on trial or on probation.
    pub(super) async fn look(&mut self) {
        let watched: Vec<String> =
            self.lives.iter().filter(|(_, life)| life.is_watched()).map(|(stem, _)| stem.clone()).collect();
        for stem in watched {
            self.look_at_candidate(&stem).await;
            self.look_at_probation(&stem);
        }
    }

    pub(super) async fn look_at_candidate(&mut self, stem: &str) {
        let Some(candidate) = self.life(stem).candidate.clone() else { return };
        let Some(listener) = self.entry(stem).and_then(|entry| entry.listener.clone()) else { return };
        match candidate.verdict(&listener) {
            Verdict::Wait(_) => {}
            Verdict::Promote(why) => {
                tracing::info!("plugin {stem}: the canary is promoted: {why}");
                let loaded = candidate.loaded.clone();
                if let Err(reason) =
                    self.take_over(stem, loaded, "the canary of another version was promoted").await
                {
                    self.end_candidate(stem, "it could not take over");
                    self.reject(stem, reason);
                }
            }
            Verdict::RollBack(why) => self.give_up_candidate(stem, &format!("its canary failed: {why}")),
        }
    }

    /// Ends a trial for good: the content is in quarantine.
    pub(super) fn give_up_candidate(&mut self, stem: &str, why: &str) {
        let Some(candidate) = self.end_candidate(stem, why) else { return };
        let hash = candidate.loaded.plugin.hash.to_string();
        let version = Some(candidate.loaded.plugin.version().to_owned());
        tracing::warn!("plugin {stem}: version {} is rolled back and in quarantine: {why}", short(&hash));
        self.life(stem).versions.quarantine(&hash, why);
        self.say(stem, "rolled-back", version, Some(why.to_owned()));
        self.hold_if_it_is_the_file(stem, &hash);
    }

    pub(super) fn look_at_probation(&mut self, stem: &str) {
        let Some(on_probation) = self.life(stem).probation.clone() else { return };
        let settings = self.config.plugin_settings(stem).probation;
        if !probation::lasts(&settings, on_probation.since()) {
            self.life(stem).probation = None;
            return;
        }
        let Some(figures) = self.serving_figures(stem) else { return };
        let Some(why) = probation::fails(&settings, &figures, &on_probation.before) else { return };
        self.life(stem).probation = None;
        let Some(hash) = self.entry(stem).and_then(|entry| entry.hash).map(|hash| hash.to_string()) else {
            return;
        };
        let Some(before) = self.life(stem).versions.before(&hash).map(|line| line.hash.clone()) else {
            return tracing::error!("plugin {stem} keeps failing, and there is no version before it: {why}");
        };
        if let Some(pinned) = self.pinned_otherwise(stem, &before) {
            return tracing::error!("plugin {stem} keeps failing, but stays: {why}; {pinned}");
        }
        tracing::error!("plugin {stem}: version {} keeps failing and gives way: {why}", short(&hash));
        let why = format!("it kept failing on probation: {why}");
        self.life(stem).versions.quarantine(&hash, &why);
        self.show_record(stem);
        self.say(stem, "rolled-back", None, Some(why.clone()));
        let content = Content::Kept(self.life(stem).versions.content(&before));
        self.begin_load(stem, Work { content, purpose: Purpose::BringBack { why, reply: None } });
    }
}
