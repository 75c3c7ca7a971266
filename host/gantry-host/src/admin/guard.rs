//! Who may ask: whoever brings the token, where there is one; and no web page that another site's server made.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;

use super::answer::Failure;
use crate::config::Token;

/// What a request must bring.
pub(super) struct Guard {
    token: Option<Token>,
    loopback: bool,
}

impl Guard {
    pub(super) fn new(token: Option<Token>, bound: SocketAddr) -> Self {
        Self { token, loopback: bound.ip().is_loopback() }
    }

    /// # Errors
    /// Why the request is refused.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Failure> {
        self.admit_site(headers)?;
        let Some(Token(token)) = &self.token else { return Ok(()) };
        let given = text(headers, header::AUTHORIZATION);
        let given = given.and_then(|given| given.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match given {
            Some((_, given)) if bool::from(given.trim().as_bytes().ct_eq(token.as_bytes())) => Ok(()),
            Some(_) => Err(unauthorized("the token is another one")),
            None => Err(unauthorized("this host asks for a token")),
        }
    }

    /// A browser lets any page send requests here, and says of which site the page is. Where only loopback is listened on,
    /// the name asked for must be this machine's, or a page could give it a name of its own.
    fn admit_site(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let host = text(headers, header::HOST).unwrap_or_default();
        let origin = text(headers, header::ORIGIN);
        let own = origin.is_none_or(|origin| origin.split_once("://").is_some_and(|(_, site)| site == host));
        let named = !self.loopback || is_local(host);
        if own && named {
            return Ok(());
        }
        Err(Failure::new(
            StatusCode::FORBIDDEN,
            "the request comes from the page of another site",
            "ask by this host's own address",
        ))
    }
}

fn unauthorized(error: &str) -> Failure {
    let fix = "send authorization: Bearer TOKEN with the token of [admin] in the host's configuration (gantry: --token, or GANTRY_ADMIN_TOKEN)";
    Failure::new(StatusCode::UNAUTHORIZED, error, fix)
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.is_empty() || name.eq_ignore_ascii_case("localhost") || address.is_ok()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Lets a request pass or answers it.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => {
            let asks = matches!(failure.status(), StatusCode::UNAUTHORIZED);
            let mut response = failure.into_response();
            if asks {
                let scheme = header::HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn admits(token: Option<&str>, given: &[(header::HeaderName, &str)]) -> Option<u16> {
        let bound = "127.0.0.1:8088".parse().unwrap();
        let guard = Guard::new(token.map(|token| Token(token.to_owned())), bound);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "127.0.0.1:8088".parse().unwrap());
        for (name, value) in given {
            headers.insert(name.clone(), value.parse().unwrap());
        }
        guard.admit(&headers).err().map(|failure| failure.status().as_u16())
    }

    #[test]
    fn without_a_token_none_is_asked_for_and_with_one_only_it_will_do() {
        let bearing = |token: &str| admits(Some(TOKEN), &[(header::AUTHORIZATION, token)]);
        assert_eq!(admits(None, &[]), None);
        assert_eq!(admits(Some(TOKEN), &[]), Some(401));
        assert_eq!(bearing("Bearer 0123456789abcdef"), None);
        assert_eq!(bearing("bearer 0123456789abcdef"), None);
        for wrong in
            ["Bearer 0123456789abcdeX", "Bearer", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef"]
        {
            assert_eq!(bearing(wrong), Some(401), "{wrong}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        assert_eq!(admits(None, &[(header::ORIGIN, "http://127.0.0.1:8088")]), None);
        assert_eq!(admits(None, &[(header::HOST, "localhost:8088")]), None);
        assert_eq!(admits(None, &[(header::HOST, "[::1]:8088")]), None);
        assert_eq!(admits(None, &[(header::ORIGIN, "http://example.org")]), Some(403));
        assert_eq!(admits(None, &[(header::ORIGIN, "null")]), Some(403));
        assert_eq!(admits(None, &[(header::HOST, "rebound.example.org:8088")]), Some(403));
    }
}
