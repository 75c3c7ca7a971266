//! A version on trial beside the one that serves: as a canary, or in the shadow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_engine::Figures;

use super::canary::{self, Verdict};
use super::loads::LoadedPlugin;
use crate::config::CanarySettings;
use crate::group::{Listener, Shadow, Trial};
use crate::status::CandidateStatus;

/// The version and how it is tried.
pub(crate) struct Candidate {
    pub(super) loaded: LoadedPlugin,
    pub(super) trial: Tried,
    began: Instant,
    /// The serving version's figures when it began.
    serving_then: Figures,
}

/// How it is tried.
pub(super) enum Tried {
    Canary(CanarySettings, Arc<Trial>),
    Shadow(Arc<Shadow>, String),
}

impl Candidate {
    pub(super) fn new(loaded: LoadedPlugin, trial: Tried, beside: &Listener) -> Self {
        let serving_then = beside.generation().map(|(_, figures, _)| figures).unwrap_or_default();
        Self { loaded, trial, began: Instant::now(), serving_then }
    }

    /// `canary` or `shadow`.
    pub(super) fn role(&self) -> &'static str {
        match self.trial {
            Tried::Canary(..) => "canary",
            Tried::Shadow(..) => "shadow",
        }
    }

    /// What is to become of it; a shadow waits for an operator.
    pub(super) fn verdict(&self, beside: &Listener) -> Verdict {
        match &self.trial {
            Tried::Canary(settings, trial) => {
                let (watched, serving) = (self.began.elapsed(), self.serving(beside));
                canary::judge(settings, watched, trial.is_tripped(), &serving, &trial.figures())
            }
            Tried::Shadow(..) => Verdict::Wait("an operator's promote or abort".into()),
        }
    }

    fn serving(&self, beside: &Listener) -> Figures {
        let now = beside.generation().map(|(_, figures, _)| figures).unwrap_or_default();
        now.since(&self.serving_then)
    }

    pub(super) fn status(&self, beside: Option<&Listener>) -> CandidateStatus {
        let (share, figures, shadow) = match &self.trial {
            Tried::Canary(_, trial) => (trial.share(), trial.figures(), None),
            Tried::Shadow(shadow, share) => (share.clone(), shadow.figures(), Some(shadow.status())),
        };
        let waits_for = match beside.map(|beside| self.verdict(beside)) {
            Some(Verdict::Wait(what)) => what,
            _ => "the host to act on it".to_owned(),
        };
        CandidateStatus {
            role: self.role(),
            version: self.loaded.plugin.version().to_owned(),
            hash: self.loaded.plugin.hash.to_string(),
            share,
            for_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            waits_for,
            figures,
            serving: beside.filter(|_| shadow.is_none()).map(|beside| self.serving(beside)),
            shadow,
        }
    }
}

/// A version that took over a while ago, held against the one before it.
#[derive(Debug, Clone)]
pub(super) struct Probation {
    pub(super) began: Instant,
    /// The figures of the one before it while that served.
    pub(super) before: Figures,
}

impl Probation {
    pub(super) fn since(&self) -> Duration {
        self.began.elapsed()
    }
}
