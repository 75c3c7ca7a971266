//! The host's side of `wasi:http`: requests to listed hosts, none of which outlives the call it is made in.
//!
//! wasmtime's implementation does the work; what a request asks for is looked at before it leaves.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use http::{Method, Uri, uri::Scheme};
use http_body_util::BodyExt as _;
use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    default_send_request,
    p2::bindings::{LinkOptions, sync::http as bindings},
};

use super::Suppressed;
use crate::guest::GuestState;

/// Requests under way at once, over all instances of a plugin.
const MAX_REQUESTS: usize = 64;
/// How long a step of a request may take unless configuration says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A host that may be asked: `api.example.com` at the port of the scheme, `api.example.com:8443` at that port, or
/// `*.example.com` for every name below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpHost {
    /// Whether the name stands for those below it.
    below: bool,
    name: String,
    port: Option<u16>,
}

/// Text that is no [`HttpHost`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no host; expected a name such as `api.example.com`, `api.example.com:8443` or `*.example.com`, without \
     scheme or path"
)]
pub struct UnsoundHost(pub String);

impl FromStr for HttpHost {
    type Err = UnsoundHost;

    fn from_str(text: &str) -> Result<Self, UnsoundHost> {
        let unsound = || UnsoundHost(text.to_owned());
        let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let authority: http::uri::Authority = rest.parse().map_err(|_| unsound())?;
        let name = authority.host().to_ascii_lowercase();
        let (_, after) = authority.as_str().split_at_checked(name.len()).ok_or_else(unsound)?;
        let port = match after.strip_prefix(':') {
            None if after.is_empty() => None,
            Some(port) => Some(port.parse().map_err(|_| unsound())?),
            None => return Err(unsound()),
        };
        if name.is_empty() || name.contains('*') {
            return Err(unsound());
        }
        Ok(Self { below, name, port })
    }
}

impl fmt::Display for HttpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl HttpHost {
    fn covers(&self, host: &str, port: u16, usual_port: u16) -> bool {
        let named = match self.below {
            true => host
                .strip_suffix(self.name.as_str())
                .is_some_and(|left| left.len() > 1 && left.ends_with('.')),
            false => host == self.name,
        };
        named && port == self.port.unwrap_or(usual_port)
    }
}

/// Which hosts a plugin may ask, and for how long.
#[derive(Debug)]
pub struct HttpGrant {
    hosts: Vec<HttpHost>,
    timeout: Duration,
    under_way: Arc<Semaphore>,
    /// Where only reading is allowed: what counts the rest.
    reads_only: Option<Arc<Suppressed>>,
}

impl HttpGrant {
    /// These hosts, with 10 s for each step of a request: connecting, the first byte, the pauses between bytes.
    #[must_use]
    pub fn to(hosts: Vec<HttpHost>) -> Self {
        let under_way = Arc::new(Semaphore::new(MAX_REQUESTS));
        Self { hosts, timeout: TIMEOUT, under_way, reads_only: None }
    }

    /// With another time for each step. A request may ask for less, and never has longer than its call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(super) fn without_effects(&self, suppressed: &Arc<Suppressed>) -> Self {
        let reads_only = Some(Arc::clone(suppressed));
        Self { reads_only, ..Self::to(self.hosts.clone()).with_timeout(self.timeout) }
    }

    /// Whether a request may leave, and its place among those under way.
    fn admit(&self, method: &Method, uri: &Uri) -> Result<OwnedSemaphorePermit, HttpError> {
        if !self.covers(uri) {
            return Err(HttpError::HttpRequestDenied);
        }
        if let Some(suppressed) =
            self.reads_only.as_ref().filter(|_| !matches!(*method, Method::GET | Method::HEAD))
        {
            suppressed.count_request();
            return Err(HttpError::HttpRequestDenied);
        }
        Arc::clone(&self.under_way).try_acquire_owned().map_err(|_full| HttpError::ConnectionLimitReached)
    }

    fn covers(&self, uri: &Uri) -> bool {
        let usual_port = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
        let Some(authority) = uri.authority().filter(|authority| !authority.as_str().contains('@')) else {
            return false;
        };
        let host = authority.host().to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => usual_port,
            // A port that is there but no number would be read otherwise by whoever connects.
            Some(_) => match authority.port_u16() {
                Some(port) => port,
                None => return false,
            },
            None => return false,
        };
        self.hosts.iter().any(|listed| listed.covers(host, port, usual_port))
    }

    fn capped(&self, asked: Option<RequestOptions>, left: Duration) -> RequestOptions {
        let cap = |asked: Option<Duration>| Some(asked.unwrap_or(self.timeout).min(self.timeout).min(left));
        let asked = asked.unwrap_or_default();
        RequestOptions {
            connect_timeout: cap(asked.connect_timeout),
            first_byte_timeout: cap(asked.first_byte_timeout),
            between_bytes_timeout: cap(asked.between_bytes_timeout),
        }
    }
}

/// What an instance keeps for `wasi:http`.
#[derive(Default)]
pub(crate) struct GuestHttp {
    context: WasiHttpCtx,
    hooks: Hooks,
}

#[derive(Default)]
struct Hooks {
    grant: Option<Arc<HttpGrant>>,
    plugin: Arc<str>,
    deadline: Option<Instant>,
}

impl GuestHttp {
    /// What the guest sees of it in a call that ends at `deadline`.
    pub(crate) fn view<'a>(
        &'a mut self,
        grant: Option<&Arc<HttpGrant>>,
        plugin: &Arc<str>,
        deadline: std::time::Instant,
        table: &'a mut ResourceTable,
    ) -> WasiHttpCtxView<'a> {
        if self.hooks.grant.is_none() {
            self.hooks.grant = grant.cloned();
            self.hooks.plugin = Arc::clone(plugin);
        }
        self.hooks.deadline = Some(deadline.into());
        WasiHttpCtxView { hooks: &mut self.hooks, table, ctx: &mut self.context }
    }
}

/// What an answer is followed by: the rest of the connection's work.
type Rest = Box<dyn Future<Output = Result<(), HttpError>> + Send>;
/// A request on its way.
type Sending = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Rest), HttpError>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _body_sent: Rest,
    ) -> Sending {
        let Some(grant) = self.grant.clone() else {
            return Box::new(async { Err(HttpError::HttpRequestDenied) });
        };
        let admitted = grant.admit(request.method(), request.uri());
        let permit = match admitted {
            Ok(permit) => permit,
            Err(error) => {
                let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
                tracing::debug!(plugin = %self.plugin, authority, "an HTTP request did not leave: {error}");
                return Box::new(async { Err(error) });
            }
        };
        let deadline = self.deadline.unwrap_or_else(Instant::now);
        let options = grant.capped(options, deadline.saturating_duration_since(Instant::now()));
        Box::new(async move {
            let sent = tokio::time::timeout_at(deadline, default_send_request(request, Some(options))).await;
            let (response, connection) = sent.map_err(|_elapsed| HttpError::HttpResponseTimeout)??;
            let rest = async move {
                let ended = connection.await;
                drop(permit);
                ended
            };
            Ok((response.map(|body| body.boxed_unsync()), Box::new(rest) as Rest))
        })
    }

    fn p2_error_from_connect(
        &mut self,
        error: &std::io::Error,
    ) -> wasmtime_wasi_http::p2::bindings::http::types::ErrorCode {
        use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
        tracing::debug!(plugin = %self.plugin, %error, "an HTTP request found no connection");
        match error.kind() {
            std::io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
            std::io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
            _ => ErrorCode::DestinationUnavailable,
        }
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    bindings::outgoing_handler::add_to_linker::<_, WasiHttp>(linker, GuestState::http)?;
    bindings::types::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), GuestState::http)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(hosts: &[&str], uri: &str) -> bool {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        HttpGrant::to(hosts).covers(&uri.parse().unwrap())
    }

    #[test]
    fn a_host_is_its_name_at_its_port() {
        let listed = ["api.example.com", "files.example.com:8443", "[::1]:80"];
        for uri in [
            "https://api.example.com/v1",
            "https://API.example.com:443/",
            "http://api.example.com",
            "https://files.example.com:8443/",
            "http://[::1]/",
            "https://api.example.com./",
        ] {
            assert!(allowed(&listed, uri), "{uri}");
        }
        for uri in [
            "https://api.example.com:8443/",
            "http://api.example.com:443/",
            "https://files.example.com/",
            "https://example.com/",
            "https://evil-api.example.com/",
            "https://api.example.com.evil.org/",
            "https://api.example.com@evil.org/",
            "https://user@api.example.com/",
        ] {
            assert!(!allowed(&listed, uri), "{uri}");
        }
    }

    #[test]
    fn a_star_stands_for_every_name_below() {
        assert!(allowed(&["*.example.com"], "https://api.example.com/"));
        assert!(allowed(&["*.example.com"], "https://v2.api.example.com/"));
        assert!(!allowed(&["*.example.com"], "https://example.com/"));
        assert!(!allowed(&["*.example.com"], "https://.example.com/"));
        assert!(!allowed(&["*.example.com"], "https://notexample.com/"));
    }

    #[test]
    fn what_is_no_host_is_refused_with_what_was_expected() {
        for text in ["", "https://api.example.com", "a/b", "*", "*.", "a.*.b", "a:port", "u@a", "a:70000"] {
            let error = text.parse::<HttpHost>().unwrap_err().to_string();
            assert!(error.contains("api.example.com:8443"), "{text}: {error}");
        }
        assert_eq!("*.Example.com:8443".parse::<HttpHost>().unwrap().to_string(), "*.example.com:8443");
    }

    #[test]
    fn a_request_may_ask_for_less_time_and_not_for_more() {
        let grant = HttpGrant::to(Vec::new()).with_timeout(Duration::from_secs(5));
        let asked = |seconds| {
            Some(RequestOptions {
                connect_timeout: Some(Duration::from_secs(seconds)),
                ..RequestOptions::default()
            })
        };
        let left = Duration::from_secs(60);
        assert_eq!(grant.capped(asked(1), left).connect_timeout, Some(Duration::from_secs(1)));
        assert_eq!(grant.capped(asked(600), left).connect_timeout, Some(Duration::from_secs(5)));
        assert_eq!(
            grant.capped(None, Duration::from_secs(2)).first_byte_timeout,
            Some(Duration::from_secs(2))
        );
    }

    #[test]
    fn without_effects_only_reading_is_allowed() {
        let suppressed = Arc::new(Suppressed::default());
        let grant = HttpGrant::to(vec!["example.com".parse().unwrap()]).without_effects(&suppressed);
        let uri: Uri = "https://example.com/".parse().unwrap();
        assert!(grant.admit(&Method::GET, &uri).is_ok());
        assert!(matches!(grant.admit(&Method::POST, &uri), Err(HttpError::HttpRequestDenied)));
        assert_eq!(suppressed.requests(), 1);
    }

    #[test]
    fn so_many_requests_are_under_way_and_not_more() {
        let grant = HttpGrant::to(vec!["example.com".parse().unwrap()]);
        let uri: Uri = "https://example.com/".parse().unwrap();
        let held: Vec<_> = (0..MAX_REQUESTS).map(|_| grant.admit(&Method::GET, &uri).unwrap()).collect();
        assert!(matches!(grant.admit(&Method::GET, &uri), Err(HttpError::ConnectionLimitReached)));
        drop(held);
        assert!(grant.admit(&Method::GET, &uri).is_ok());
    }
}
