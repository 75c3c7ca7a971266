//! A component put into the plugins directory from elsewhere: whole or not at all.

use std::io::Write as _;
use std::path::{Path as FilePath, PathBuf};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::put;

use super::Served;
use super::answer::{Done, Failure};

/// The largest component that is taken, in bytes: the engine's own bound.
const COMPONENT_MAX: usize = gantry_engine::MAX_COMPONENT_BYTES;
/// The longest name.
const NAME_MAX: usize = 128;

pub(super) fn router() -> Router<Served> {
    Router::new().route("/plugins/{name}", put(upload))
}

async fn upload(
    State(served): State<Served>,
    Path(name): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Done>), Failure> {
    if !is_name(&name) {
        let error = format!("{name:?} is no name for a plugin uploaded here");
        let fix = format!("use 1 to {NAME_MAX} of A-Z a-z 0-9 _ - . and no dot in front");
        return Err(Failure::bad_request(error, fix));
    }
    // One at a time: each is held in memory whole.
    let _upload = served.uploads.try_acquire().map_err(|_busy| {
        let fix = "ask again when it has ended";
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "another upload is under way", fix)
    })?;
    let body = to_bytes(body, COMPONENT_MAX).await.map_err(|error| {
        let fix = format!("send a component of at most {COMPONENT_MAX} bytes, whole");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the component cannot be read: {error}"), fix)
    })?;
    if !body.starts_with(b"\0asm") {
        let fix = "send a component's bytes: PUT with the .wasm file as the body";
        return Err(Failure::bad_request("the body is not WebAssembly", fix));
    }
    let (directory, file) = (served.plugins.clone(), format!("{name}.wasm"));
    let path = directory.join(&file);
    let written = tokio::task::spawn_blocking(move || put_whole(&directory, &file, &body)).await;
    match written {
        Ok(Ok(())) => {
            let done = format!("{} is written; GET /plugins/{name} tells what becomes of it", path.display());
            Ok((StatusCode::ACCEPTED, Json(Done { done })))
        }
        Ok(Err(error)) => Err(cannot_write(&path, &error)),
        Err(error) => Err(cannot_write(&path, &error)),
    }
}

fn cannot_write(path: &FilePath, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("{} cannot be written: {error}", path.display()),
        "give the host room and the right to write its plugins directory",
    )
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=NAME_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed)
}

/// The directory's watch takes no notice of names with a dot in front.
fn put_whole(directory: &FilePath, file: &str, bytes: &[u8]) -> std::io::Result<()> {
    let upload = Upload(directory.join(format!(".{file}.upload-{:016x}", fastrand::u64(..))));
    let mut written = std::fs::File::create_new(&upload.0)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    std::fs::rename(&upload.0, directory.join(file))
}

/// What was not put in place is removed.
struct Upload(PathBuf);

impl Drop for Upload {
    fn drop(&mut self) {
        let _in_place_already = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_within_the_directory() {
        for name in ["orders", "orders-2.1_b", "a"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".hidden", "..", "a/b", "a\\b", "é", "a b", &"x".repeat(129)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_component_is_put_in_place_whole_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        put_whole(directory.path(), "orders.wasm", b"one").unwrap();
        put_whole(directory.path(), "orders.wasm", b"two").unwrap();
        assert_eq!(std::fs::read(directory.path().join("orders.wasm")).unwrap(), b"two");
        std::fs::create_dir(directory.path().join("taken.wasm")).unwrap();
        assert!(put_whole(directory.path(), "taken.wasm", b"three").is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
