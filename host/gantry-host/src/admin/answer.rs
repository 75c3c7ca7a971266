//! Answers: JSON, and errors that say what would help.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An error as the API tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    status: StatusCode,
    error: String,
    fix: String,
}

#[derive(Serialize)]
struct Told {
    error: String,
    fix: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status, error: error.into(), fix: fix.into() }
    }

    pub(super) fn not_found(error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, fix)
    }

    pub(super) fn bad_request(error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, fix)
    }

    pub(super) fn conflict(error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, fix)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn method_not_allowed() -> Self {
        let error = "this path does not know that method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error, "GET / lists what there is")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(Told { error: self.error, fix: self.fix })).into_response()
    }
}

/// What was done, in a sentence.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    pub(super) done: String,
}

/// Reads a request's JSON.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read<T: DeserializeOwned>(body: &Bytes, shape: &str) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        Failure::bad_request(format!("the body cannot be read: {error}"), format!("expected {shape}"))
    })
}
