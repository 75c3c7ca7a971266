//! Name servers from an address server: a page by HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gantry_dev_broker::{Broker, BrokerConfig};
use gantry_host::client_instance::{ClientConfig, ClientInstance, RouteError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(120);

/// An address server, the path and status line of its page, and what is on it.
struct Page {
    url: String,
    text: Arc<Mutex<(&'static str, String)>>,
}

impl Page {
    #[expect(clippy::disallowed_methods, reason = "a test's server ends with its test")]
    async fn serve(text: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/rocketmq/nsaddr", listener.local_addr().unwrap());
        let text = Arc::new(Mutex::new(("200 OK", text.to_owned())));
        let shown = Arc::clone(&text);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0
                {
                }
                assert!(request.starts_with(b"GET /rocketmq/nsaddr HTTP/1.1\r\n"));
                let (status, text) = shown.lock().unwrap().clone();
                let length = text.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
                );
                let _asker_gone = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, text }
    }

    fn show(&self, status: &'static str, text: &str) {
        *self.text.lock().unwrap() = (status, text.to_owned());
    }
}

async fn broker() -> Broker {
    let config = BrokerConfig { listen: ([127, 0, 0, 1], 0).into(), ..BrokerConfig::default() };
    Broker::start(config).await.unwrap()
}

async fn client(url: &str) -> ClientInstance {
    let config = ClientConfig {
        name_servers: url.to_owned(),
        fetch_name_server_interval: Duration::from_millis(50),
        ..ClientConfig::default()
    };
    ClientInstance::start(config).await.unwrap()
}

async fn until(client: &ClientInstance, list: &str) {
    let deadline = Instant::now() + PATIENCE;
    while client.name_servers().join(";") != list {
        assert!(Instant::now() < deadline, "{:?}", client.name_servers());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A name server answers, be it that it does not know the topic.
async fn answers(client: &ClientInstance) {
    let error = client.refresh_route("nobody-knows-it").await.unwrap_err();
    assert!(matches!(error, RouteError::Missing { .. }), "{error}");
}

#[tokio::test]
async fn the_list_is_followed_as_it_changes_and_kept_when_the_page_is_broken() {
    let (one, two) = (broker().await, broker().await);
    let [one_addr, two_addr] = [&one, &two].map(|broker| broker.local_addr().to_string());
    let page = Page::serve(&format!("{one_addr}\n")).await;
    let client = client(&page.url).await;
    until(&client, &one_addr).await;
    answers(&client).await;
    for (status, text) in
        [("200 OK", ""), ("200 OK", "<html>down for maintenance</html>"), ("503 Unavailable", "127.0.0.1:1")]
    {
        page.show(status, text);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(client.name_servers().join(";"), one_addr, "{status} {text}");
    }
    page.show("200 OK", &format!("{one_addr};{two_addr}"));
    until(&client, &format!("{one_addr};{two_addr}")).await;
    one.stop().await;
    page.show("200 OK", &two_addr);
    until(&client, &two_addr).await;
    answers(&client).await;
    client.close().await;
    two.stop().await;
}

#[tokio::test]
async fn a_client_starts_before_its_address_server_has_a_list() {
    let broker = broker().await;
    let page = Page::serve("").await;
    let client = client(&page.url).await;
    let error = client.refresh_route("t").await.unwrap_err().to_string();
    assert_eq!(error, "no name server answered: none is known yet");
    assert!(client.client_id().starts_with("127.0.0.1@gantry#"), "{}", client.client_id());
    page.show("200 OK", &broker.local_addr().to_string());
    until(&client, &broker.local_addr().to_string()).await;
    answers(&client).await;
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn what_is_no_list_and_no_address_server_is_refused_at_the_start() {
    let config = ClientConfig { name_servers: "https://ns/".to_owned(), ..ClientConfig::default() };
    let error = ClientInstance::start(config).await.unwrap_err().to_string();
    assert!(error.contains("name-server https://ns/") && error.contains("expected http://"), "{error}");
}
