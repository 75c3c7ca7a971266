//! What the status says of a plugin's versions.

use gantry_engine::Figures;
use serde::{Deserialize, Serialize};

use super::PluginStatus;

/// A version on trial.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateStatus {
    /// `canary` or `shadow`.
    pub role: &'static str,
    /// The version as it describes itself.
    pub version: String,
    /// Its content hash.
    pub hash: String,
    /// What it gets, in words.
    pub share: String,
    /// For how long it has been on trial, in milliseconds.
    pub for_ms: u64,
    /// What it waits for, in words.
    pub waits_for: String,
    /// How it has done.
    pub figures: Figures,
    /// How the serving version has done meanwhile; none for a shadow.
    pub serving: Option<Figures>,
    /// How its results compare; none for a canary.
    pub shadow: Option<ShadowStatus>,
}

/// How a version in the shadow compares, in messages unless it says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowStatus {
    /// Answered alike.
    pub agreed: u64,
    /// Answered otherwise.
    pub differed: u64,
    /// Batches it had no time for.
    pub batches_dropped: u64,
    /// The newest differences, 20 at most.
    pub examples: Vec<ShadowDifference>,
}

/// A message that two versions answered differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowDifference {
    /// Its id.
    pub message_id: String,
    /// What the serving version made of it.
    pub serving: String,
    /// What the version in the shadow did.
    pub shadow: String,
}

/// A plugin's circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerStatus {
    /// `closed`: it has its messages; `open`: they wait; `probing`: one batch is tried.
    pub state: &'static str,
    /// Why it is not closed.
    pub why: Option<String>,
    /// Times it has opened.
    pub opened: u64,
}

/// One plugin with its history.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginDetail {
    /// As in the list.
    #[serde(flatten)]
    pub status: PluginStatus,
    /// The versions that served, oldest first; the last one without an end serves.
    pub history: Vec<VersionLine>,
    /// The content of the file that is held back since a rollback.
    pub held_back: Option<HeldBack>,
    /// Contents that are not tried again by themselves, oldest first.
    pub quarantined: Vec<Quarantined>,
}

/// A version that served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionLine {
    /// Its content hash.
    pub hash: String,
    /// The version as it describes itself.
    pub version: String,
    /// The component's size in bytes.
    pub bytes: u64,
    /// Since when it served, in milliseconds since the Unix epoch.
    pub began: u64,
    /// Until when.
    pub ended: Option<u64>,
    /// Why no longer.
    pub reason: Option<String>,
}

/// Content of a plugin's file that does not serve since another version was brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldBack {
    /// Its hash.
    pub hash: String,
    /// Why.
    pub reason: String,
}

/// Content that is not tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// Its hash.
    pub hash: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Why.
    pub reason: String,
}
