//! Name servers by HTTP: a page that is their list (RocketMQ: TopAddressing, `rocketmq.namesrv.domain`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use gantry_remoting::{NameServerListError, parse_addresses};
use tokio_util::sync::CancellationToken;

use super::{ClientInstance, Inner};

const SCHEME: &str = "http://";
/// How soon it is asked again while no list is known.
const WITHOUT_LIST: Duration = Duration::from_secs(2);
/// The largest page that is read, in bytes.
const PAGE_MAX: u64 = 64 << 10;

/// A page with the list of name servers.
#[derive(Debug, Clone)]
pub(super) struct AddressServer {
    url: Arc<str>,
    /// `host:port` of the URL.
    authority: String,
    timeout: Duration,
}

/// Why there is no list from an address server.
#[derive(Debug, thiserror::Error)]
pub enum AddressServerError {
    /// The setting is no usable URL.
    #[error(
        "name-server {url}: {reason}; expected http://HOST[:PORT]/PATH, such as http://jmenv.tbsite.net:8080/rocketmq/nsaddr, \
         or name servers host:port joined by ';'"
    )]
    Url {
        /// The setting.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It does not answer, or not with success.
    #[error("address server {url} gives no list of name servers: {reason}")]
    Unanswered {
        /// Where it is.
        url: Arc<str>,
        /// Why.
        reason: String,
    },
    /// Its page is no list.
    #[error("the page at {url} is to be one line, name servers host:port joined by ';': {source}")]
    Page {
        /// Where it is.
        url: Arc<str>,
        /// What is wrong with it.
        source: NameServerListError,
    },
}

impl AddressServer {
    /// The address server that a setting of name servers means; none where it is a list.
    ///
    /// # Errors
    /// It is a URL, but not one that can be asked.
    pub(super) fn of(name_servers: &str, timeout: Duration) -> Result<Option<Self>, AddressServerError> {
        let url = name_servers.trim();
        if !url.contains("://") {
            return Ok(None);
        }
        let refused =
            |reason: &str| AddressServerError::Url { url: url.to_owned(), reason: reason.to_owned() };
        if !url.starts_with(SCHEME) {
            return Err(refused("address servers are asked by plain http"));
        }
        let parsed: ureq::http::Uri = url.parse().map_err(|error| refused(&format!("{error}")))?;
        let host =
            parsed.host().filter(|host| !host.is_empty()).ok_or_else(|| refused("it names no host"))?;
        let authority = format!("{host}:{}", parsed.port_u16().unwrap_or(80));
        Ok(Some(Self { url: url.into(), authority, timeout }))
    }

    /// Where it is, as `host:port`.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Asks for the list.
    ///
    /// # Errors
    /// See [`AddressServerError`].
    pub(super) async fn fetch(&self) -> Result<Vec<Arc<str>>, AddressServerError> {
        let (url, timeout) = (Arc::clone(&self.url), self.timeout);
        let asked = tokio::task::spawn_blocking(move || page(&url, timeout)).await;
        let answered = asked.unwrap_or_else(|error| Err(error.to_string()));
        let unanswered = |reason| AddressServerError::Unanswered { url: Arc::clone(&self.url), reason };
        list(&answered.map_err(unanswered)?)
            .map_err(|source| AddressServerError::Page { url: Arc::clone(&self.url), source })
    }

    /// Asks every `interval` for as long as the instance lives, and sooner while no list is known. A changed list takes over;
    /// without a usable one the list before stays.
    pub(super) async fn follow(self, interval: Duration, instance: Weak<Inner>, stop: CancellationToken) {
        let mut said = String::new();
        loop {
            let Some(known) = instance.upgrade().map(|inner| inner.names.addresses()) else { return };
            let pause = if known.is_empty() { WITHOUT_LIST.min(interval) } else { interval };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let answer = tokio::select! {
                () = stop.cancelled() => return,
                answer = self.fetch() => answer,
            };
            let Some(instance) = instance.upgrade().map(ClientInstance) else { return };
            match answer {
                Ok(list) => {
                    said.clear();
                    instance.take_name_servers(list);
                }
                Err(error) => {
                    let error = error.to_string();
                    if error != said {
                        tracing::warn!("{error}; the list before stays, and asking goes on");
                    }
                    said = error;
                }
            }
        }
    }
}

/// The page's text, or why there is none. Blocks.
fn page(url: &str, timeout: Duration) -> Result<String, String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).proxy(None).build();
    let answer = ureq::Agent::from(config).get(url).call();
    let text = answer.and_then(|mut answer| answer.body_mut().with_config().limit(PAGE_MAX).read_to_string());
    text.map_err(|error| error.to_string())
}

/// The page's first line is the list, as for Java's client.
fn list(page: &str) -> Result<Vec<Arc<str>>, NameServerListError> {
    parse_addresses(page.trim().lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_means_an_address_server_and_all_else_a_list() {
        let of = |setting| AddressServer::of(setting, Duration::from_secs(3));
        assert!(of("127.0.0.1:9876;b:9876").unwrap().is_none());
        let server = of(" http://jmenv.tbsite.net:8080/rocketmq/nsaddr-unit?nofix=1 ").unwrap().unwrap();
        assert_eq!(server.authority(), "jmenv.tbsite.net:8080");
        assert_eq!(of("http://ns/").unwrap().unwrap().authority(), "ns:80");
        for (setting, why) in [
            ("https://ns/", "plain http"),
            ("http:///nsaddr", "expected http://HOST"),
            ("http://a b/", "name-server http://a b/"),
        ] {
            let error = of(setting).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_first_line_is_the_list() {
        let listed = |page| list(page).map(|list| list.join(" "));
        assert_eq!(listed("\n a:1;b:2 \r\nmore"), Ok("a:1 b:2".to_owned()));
        assert_eq!(listed(" \n"), Err(NameServerListError::Empty));
        assert!(listed("<html>").is_err());
    }
}
