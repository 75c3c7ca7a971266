//! Plugins: what they are, and what an operator asks of their versions.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::Served;
use super::answer::{Done, Failure, read};
use crate::plugins::{Command, Deed};
use crate::status::{PluginDetail, PluginStatus};

pub(super) fn router() -> Router<Served> {
    Router::new()
        .route("/plugins", get(async |State(served): State<Served>| Json(list(&served))))
        .route("/plugins/{name}", get(detail))
        .route("/plugins/{name}/rollback", post(rollback))
        .route("/plugins/{name}/promote", post(promote))
        .route("/plugins/{name}/abort", post(abort))
}

fn list(served: &Served) -> Vec<PluginStatus> {
    served.entries.load().iter().map(|(name, entry)| entry.status(name)).collect()
}

async fn detail(
    State(served): State<Served>,
    Path(name): Path<String>,
) -> Result<Json<PluginDetail>, Failure> {
    let entries = served.entries.load();
    let entry = entries.get(&name).ok_or_else(|| {
        Failure::not_found(format!("there is no plugin {name} here"), "GET /plugins lists the plugins")
    })?;
    Ok(Json(entry.detail(&name)))
}

/// Which version is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    #[serde(default)]
    hash: Option<String>,
}

async fn rollback(
    State(served): State<Served>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Done>, Failure> {
    let wanted: Rollback = match body.is_empty() {
        true => Rollback::default(),
        false => read(&body, r#"nothing, or {"hash": "the version's, or its first 4 or more digits"}"#)?,
    };
    let is_hash =
        |hash: &String| (4..=64).contains(&hash.len()) && hash.bytes().all(|b| b.is_ascii_hexdigit());
    if !wanted.hash.as_ref().is_none_or(is_hash) {
        let fix = format!("GET /plugins/{name} lists the versions with their hashes");
        return Err(Failure::bad_request("hash is no content hash, or less than 4 digits of one", fix));
    }
    let hash = wanted.hash.map(|hash| hash.to_ascii_lowercase());
    ask(&served, name, Deed::Rollback(hash)).await
}

async fn promote(State(served): State<Served>, Path(name): Path<String>) -> Result<Json<Done>, Failure> {
    ask(&served, name, Deed::Promote).await
}

async fn abort(State(served): State<Served>, Path(name): Path<String>) -> Result<Json<Done>, Failure> {
    ask(&served, name, Deed::Abort).await
}

async fn ask(served: &Served, plugin: String, deed: Deed) -> Result<Json<Done>, Failure> {
    let stops = || {
        let (error, fix) = ("the host is stopping", "ask again once it runs");
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, error, fix)
    };
    let (reply, answer) = oneshot::channel();
    served.commands.send(Command { plugin, deed, reply }).await.map_err(|_gone| stops())?;
    match answer.await.map_err(|_gone| stops())? {
        Ok(done) => Ok(Json(Done { done })),
        Err(refusal) if refusal.missing => Err(Failure::not_found(refusal.error, refusal.fix)),
        Err(refusal) => Err(Failure::conflict(refusal.error, refusal.fix)),
    }
}
