//! Loading: validating, compiling and warming off the registry's task, two plugins at a time, one after another for each
//! plugin. Newer content of a plugin takes the place of what waits, and supersedes what is still compiling.
//!
//!
//! Each load has a thread of its own at a low priority: what compiles leaves the machine to the messages.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use gantry_engine::{Engine, LoadError, Plugin};
use tokio::sync::{Semaphore, mpsc};

use super::commands::{Refusal, Reply};
use super::directory::{MAX_FILE, read_now};
use super::registry::say;
use super::signature::{self, MAX_SIGNATURE};
use crate::background;
use crate::config::{PluginSettings, SignatureSettings};
use crate::granted::Services;
use crate::observer::SharedObserver;
use crate::state::versions::{Contents, KeptContent};
use crate::tasks::Tasks;

/// Plugins that are compiled at the same time.
const AT_ONCE: usize = 2;
/// Instances made before a version serves its first batch.
const WARM_INSTANCES: usize = 2;
/// Loads that have ended and wait for the registry.
const ENDED: usize = 16;

/// Where a version's component comes from.
pub(super) enum Content {
    /// The directory has read it.
    Read { bytes: Vec<u8>, signature: Option<String> },
    /// The plugin's file, as it is when the load begins.
    File(PathBuf),
    /// A version that served before.
    Kept(KeptContent),
}

/// What the version is to do once it is loaded.
pub(super) enum Purpose {
    /// Serve, or go on trial first.
    Introduce,
    /// Serve at once. Who waits for it, if an operator says so.
    Promote(Option<Reply>),
    /// Serve again. Why, and who waits for it.
    BringBack { why: String, reply: Option<Reply> },
}

/// A version to be loaded.
pub(super) struct Work {
    pub(super) content: Content,
    pub(super) purpose: Purpose,
}

/// A load that has ended.
pub(crate) struct Loaded {
    pub(super) stem: String,
    pub(super) purpose: Purpose,
    pub(super) result: Result<LoadedPlugin, String>,
}

/// A version that may serve, and its component's size.
#[derive(Debug, Clone)]
pub(super) struct LoadedPlugin {
    pub(super) plugin: Plugin,
    pub(super) bytes: u64,
}

/// The loads of one plugin.
#[derive(Default)]
pub(super) struct Loading {
    running: Option<Arc<AtomicBool>>,
    next: Option<Work>,
}

/// Everything a load needs, for the whole host.
pub(super) struct LoadParts {
    pub(super) engine: Engine,
    pub(super) signatures: SignatureSettings,
    pub(super) services: Services,
    pub(super) observer: SharedObserver,
    pub(super) tasks: Tasks,
}

/// What the operator lets the version have.
pub(super) struct Granting {
    pub(super) settings: PluginSettings,
    /// For a version in the shadow: what it does has no effect.
    pub(super) without_effects: bool,
}

/// Where loads are done.
#[derive(Clone)]
pub(super) struct Loads {
    parts: Arc<LoadParts>,
    permits: Arc<Semaphore>,
    ended: mpsc::Sender<Loaded>,
}

impl Loading {
    /// Whether a load is under way.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Takes work, which begins at once unless a load is under way; that one is superseded then.
    pub(super) fn offer(&mut self, work: Work) -> Option<(Work, Arc<AtomicBool>)> {
        match &self.running {
            Some(superseded) => {
                superseded.store(true, Relaxed);
                if let Some(replaced) = self.next.replace(work) {
                    replaced.purpose.superseded();
                }
                None
            }
            None => {
                let superseded = Arc::<AtomicBool>::default();
                self.running = Some(Arc::clone(&superseded));
                Some((work, superseded))
            }
        }
    }

    /// Wants nothing of what is under way or waits.
    pub(super) fn give_up(&mut self) {
        if let Some(superseded) = &self.running {
            superseded.store(true, Relaxed);
        }
        if let Some(waiting) = self.next.take() {
            waiting.purpose.superseded();
        }
    }

    /// A load has ended. Whether it still counts, and the work that waited.
    pub(super) fn end(&mut self) -> (bool, Option<Work>) {
        let counts = self.running.take().is_none_or(|superseded| !superseded.load(Relaxed));
        (counts, self.next.take())
    }
}

impl Purpose {
    /// Tells who waits that something newer came.
    pub(super) fn superseded(self) {
        let why = Refusal::conflict("newer content of the plugin came meanwhile", "look at it and ask again");
        self.answer(Err(why));
    }

    /// Tells who waits, if somebody does.
    pub(super) fn answer(self, answer: Result<String, Refusal>) {
        if let Self::Promote(Some(reply)) | Self::BringBack { reply: Some(reply), .. } = self {
            let _asker_gone = reply.send(answer);
        }
    }
}

impl Loads {
    pub(super) fn new(parts: LoadParts) -> (Self, mpsc::Receiver<Loaded>) {
        let (ended, receiver) = mpsc::channel(ENDED);
        (Self { parts: Arc::new(parts), permits: Arc::new(Semaphore::new(AT_ONCE)), ended }, receiver)
    }

    /// Begins a load, which ends in the receiver.
    pub(super) fn begin(
        &self,
        stem: &str,
        work: Work,
        superseded: Arc<AtomicBool>,
        granting: Granting,
        contents: Contents,
    ) {
        let (this, stem) = (self.clone(), stem.to_owned());
        self.parts.tasks.spawn("load-plugin", async move {
            let Work { content, purpose } = work;
            let cancelled = this.parts.tasks.token();
            let loading = this.load(&stem, content, superseded, granting, contents);
            if let Some(result) = cancelled.run_until_cancelled(loading).await {
                let _host_stops = this.ended.send(Loaded { stem, purpose, result }).await;
            }
        });
    }

    async fn load(
        &self,
        stem: &str,
        content: Content,
        superseded: Arc<AtomicBool>,
        granting: Granting,
        contents: Contents,
    ) -> Result<LoadedPlugin, String> {
        let inside = |error: &dyn std::fmt::Display| format!("loading failed inside the host: {error}");
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|error| inside(&error))?;
        let (parts, stem) = (Arc::clone(&self.parts), stem.to_owned());
        let work = move || {
            let _held_to_the_end = permit;
            if superseded.load(Relaxed) {
                return Err("newer content of the plugin came meanwhile".to_owned());
            }
            let (bytes, signature) = content.read()?;
            signature::check(&parts.signatures, &stem, &bytes, signature.as_deref())?;
            let plugin = parts.prepare(&stem, &bytes, &granting)?;
            if let Err(error) = contents.content(&plugin.hash.to_string()).write(&bytes, signature.as_deref())
            {
                tracing::warn!(plugin = stem, "cannot be kept for a rollback: {error}");
            }
            Ok(LoadedPlugin { plugin, bytes: bytes.len() as u64 })
        };
        background::run("gantry-load", work).await.map_err(|error| inside(&error))?
    }
}

impl LoadParts {
    /// Validates, compiles and warms.
    fn prepare(&self, stem: &str, bytes: &[u8], granting: &Granting) -> Result<Plugin, String> {
        let mut grants = self.services.grants(stem, &granting.settings)?;
        if granting.without_effects {
            grants = grants.without_effects();
        }
        // The engine does not know the file's name, by which gantry.toml knows the plugin.
        let named = |error: LoadError| error.to_string().replace("[plugin.NAME", &format!("[plugin.{stem}"));
        let plugin = self
            .engine
            .load_plugin(bytes, &grants, &mut |state| say(&self.observer, stem, state.name(), None, None))
            .map_err(named)?;
        if let Some(listener) = &plugin.listener {
            listener.warm(WARM_INSTANCES).map_err(|error| error.to_string())?;
        }
        Ok(plugin)
    }
}

impl Content {
    fn read(self) -> Result<(Vec<u8>, Option<String>), String> {
        match self {
            Self::Read { bytes, signature } => Ok((bytes, signature)),
            Self::File(path) => {
                read_now(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
            }
            Self::Kept(content) => content
                .read(MAX_FILE, MAX_SIGNATURE)
                .map_err(|error| format!("the component that was kept cannot be read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> Work {
        Work { content: Content::File("none".into()), purpose: Purpose::Introduce }
    }

    #[test]
    fn newer_content_supersedes_what_runs_and_replaces_what_waits() {
        let mut loading = Loading::default();
        let (_, first) = loading.offer(work()).unwrap();
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        let waits = Work { purpose: Purpose::Promote(Some(reply)), ..work() };
        assert!(loading.offer(waits).is_none() && first.load(Relaxed));
        assert!(loading.offer(work()).is_none());
        assert!(answer.try_recv().unwrap().unwrap_err().error.contains("newer content"));
        let (counts, next) = loading.end();
        assert!(!counts && next.is_some());
        assert!(loading.offer(work()).is_some());
        assert!(loading.end().0, "nothing newer came");
    }

    #[test]
    fn what_was_given_up_does_not_count() {
        let mut loading = Loading::default();
        loading.offer(work());
        loading.offer(work());
        loading.give_up();
        let (counts, next) = loading.end();
        assert!(!counts && next.is_none());
    }
}
