//! The life of a plugin's versions: what of the file's content may serve, on trial or at once; when a version gives way, and
//! to which; and what an operator asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_engine::{ContentHash, Figures, Plugin};

use super::canary::Verdict;
use super::candidate::{Candidate, Probation, Tried};
use super::commands::{Command, Deed, Refusal, Reply};
use super::loads::{Content, Granting, Loaded, LoadedPlugin, Loading, Purpose, Work};
use super::plan::ListenerPlan;
use super::probation;
use super::registry::Registry;
use crate::config::{CanarySettings, ShadowSettings, ShareOf};
use crate::group::{Chooser, Listener, Shadow, Trial};
use crate::state::versions::Versions;
use crate::status::HeldBack;

/// How often versions on trial or on probation are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// How long a shadow that is ended may take for the batch it has in hand before that is said.
const SHADOW_GRACE: Duration = Duration::from_secs(5);

/// What the registry keeps of one plugin beyond what the status shows.
pub(super) struct Life {
    pub(super) versions: Versions,
    pub(super) loading: Loading,
    /// The hash of the file's content as it was last reported.
    pub(super) file: Option<String>,
    pub(super) candidate: Option<Arc<Candidate>>,
    probation: Option<Probation>,
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

    /// Why content of this hash may not serve, though nothing may be wrong with it.
    fn keeps_from_serving(&mut self, stem: &str, hash: &str) -> Option<String> {
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

    fn pinned_otherwise(&self, stem: &str, hash: &str) -> Option<String> {
        let pin = self.config.plugin_settings(stem).pin?;
        (!hash.starts_with(&pin)).then(|| {
            format!(
                "held: pinned to {pin}, and the file is {}; change or remove pin under [plugin.{stem}]",
                short(hash)
            )
        })
    }

    /// After a restart the version that served before is the one that the file may not replace.
    fn bring_back_if_nothing_serves(&mut self, stem: &str, held: &str) {
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

    fn begin_canary(
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

    fn begin_shadow(
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

    fn tell_of_candidate(&mut self, stem: &str, candidate: Candidate, share: &str) {
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

    fn end_shadow(&self, shadow: Option<Arc<Shadow>>) {
        let Some(shadow) = shadow else { return };
        self.tasks.spawn("end-shadow", async move {
            let ended = tokio::task::spawn_blocking(move || shadow.end(SHADOW_GRACE)).await;
            if !ended.unwrap_or(false) {
                tracing::warn!("a version in the shadow still runs; its thread ends with the call it is in");
            }
        });
    }

    /// Lets a version serve in the place of the one that does.
    async fn take_over(
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

    fn serving_figures(&self, stem: &str) -> Option<Figures> {
        let listener = self.entry(stem)?.listener.clone()?;
        listener.generation().map(|(_, figures, _)| figures)
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

    async fn look_at_candidate(&mut self, stem: &str) {
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
    fn give_up_candidate(&mut self, stem: &str, why: &str) {
        let Some(candidate) = self.end_candidate(stem, why) else { return };
        let hash = candidate.loaded.plugin.hash.to_string();
        let version = Some(candidate.loaded.plugin.version().to_owned());
        tracing::warn!("plugin {stem}: version {} is rolled back and in quarantine: {why}", short(&hash));
        self.life(stem).versions.quarantine(&hash, why);
        self.say(stem, "rolled-back", version, Some(why.to_owned()));
        self.hold_if_it_is_the_file(stem, &hash);
    }

    fn hold_if_it_is_the_file(&mut self, stem: &str, hash: &str) {
        let is_file = self.life(stem).file.as_deref() == Some(hash);
        if let Some(reason) = is_file.then(|| self.keeps_from_serving(stem, hash)).flatten() {
            self.hold(stem, reason);
        }
        self.show_record(stem);
    }

    fn look_at_probation(&mut self, stem: &str) {
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

fn in_words(held: &HeldBack) -> String {
    format!("held back: {}", held.reason)
}

/// As people tell versions apart.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
