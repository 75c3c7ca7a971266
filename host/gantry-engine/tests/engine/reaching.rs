//! What a plugin may reach beyond the host: listed HTTP hosts, granted directories, given variables.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gantry_engine::{ConsumeResult, Directory, FailureKind, Grants, HttpGrant, ListenerModule, LoadError};

use crate::{
    common::{PATIENCE, SHORT, component, consume, engine},
    granted::told,
};

/// A server that treats each connection like this, until the test's process ends.
fn server(treat: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(treat));
    address
}

/// Reads a request's head; returns its first line.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().lines().next().unwrap_or_default().to_owned()
}

fn answers() -> SocketAddr {
    server(|mut stream| {
        let line = head(&mut stream);
        let _client_gone = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
    })
}

fn module(set: impl FnOnce(&mut Grants)) -> ListenerModule {
    let mut grants = Grants::from_names(&["http"]).unwrap();
    set(&mut grants);
    engine().load(&component("reaches-out"), &grants).unwrap()
}

fn asking(hosts: &[String]) -> ListenerModule {
    let grant = HttpGrant::to(hosts.iter().map(|host| host.parse().unwrap()).collect());
    module(|grants| grants.http = Some(Arc::new(grant)))
}

#[test]
pub(crate) fn a_listed_host_is_asked_and_no_other() {
    let (listed, other) = (answers(), answers());
    let module = asking(&[listed.to_string(), "*.example.com".into()]);
    let scripts = [
        format!("get:{listed}/v1?a=b"),
        format!("get:{other}/"),
        "get:example.com/".into(),
        format!("post:{listed}/new"),
    ];
    let scripts: Vec<_> = scripts.iter().map(String::as_str).collect();
    let told = told(&module, &scripts);
    assert_eq!(told[0], "200 GET /v1?a=b HTTP/1.1");
    assert_eq!(told[1], "ErrorCode::HttpRequestDenied");
    assert_eq!(told[2], "ErrorCode::HttpRequestDenied");
    assert_eq!(told[3], "200 POST /new HTTP/1.1");
}

#[test]
fn without_its_grant_http_is_refused_with_the_lines_to_add() {
    let error = engine().load(&component("reaches-out"), &Grants::NONE).unwrap_err();
    assert!(matches!(error, LoadError::UngrantedImport(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("hosts = [\"HOST\"] under [plugin.NAME.http]"), "{text}");
    assert!(!text.contains("wasi:filesystem") && !text.contains("wasi:cli"), "{text}");
}

#[test]
fn a_host_that_is_not_there_is_a_typed_error() {
    let gone = "127.0.0.1:1";
    let told = told(&asking(&[gone.to_owned()]), &[&format!("get:{gone}/")]);
    assert_eq!(told, ["ErrorCode::ConnectionRefused"]);
}

#[test]
fn a_server_that_never_answers_costs_the_configured_time() {
    let silent = server(|mut stream| {
        head(&mut stream);
        thread::sleep(PATIENCE);
    });
    let grant = HttpGrant::to(vec![silent.to_string().parse().unwrap()]).with_timeout(SHORT);
    let module = module(|grants| grants.http = Some(Arc::new(grant)));
    let began = Instant::now();
    let told = told(&module, &[&format!("get:{silent}/")]);
    assert_eq!(told, ["ErrorCode::ConnectionReadTimeout"]);
    assert!(began.elapsed() >= SHORT && began.elapsed() < PATIENCE);
}

#[test]
fn a_body_that_never_ends_is_left_at_the_calls_deadline() {
    let drips = server(|mut stream| {
        head(&mut stream);
        let _client_gone = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while write!(stream, "x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let stalls = server(|mut stream| {
        head(&mut stream);
        let _client_gone = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx");
        thread::sleep(PATIENCE);
    });
    for address in [drips, stalls] {
        let began = Instant::now();
        let report = consume(&asking(&[address.to_string()]), &[&format!("get:{address}/")], SHORT);
        // Time for the next byte is up with the call: the guest is stopped, or told so and then done.
        let stopped =
            report.batch_failure.as_ref().map(|failure| failure.kind()) == Some(FailureKind::Deadline);
        let broken = ConsumeResult::DeadLetter("the body broke off".into());
        assert!(stopped || report.outcomes[0].result == broken, "{report:?}");
        assert!(began.elapsed() >= SHORT);
        assert!(began.elapsed() < PATIENCE);
    }
}

#[test]
fn a_directory_is_read_and_written_only_as_granted() {
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("rates"), "EUR 1").unwrap();
    fs::write(host.path().parent().unwrap().join("gantry-outside"), "secret").unwrap();
    let with = |writable| {
        let directory = Directory { host: host.path().to_owned(), guest: "/data".into(), writable };
        module(|grants| grants.directories = vec![directory])
    };
    let scripts =
        ["read:rates", "write:new=hello", "read:../gantry-outside", "read:/etc/hostname", "read:absent"];
    let told_read_only = told(&with(false), &scripts);
    assert_eq!(told_read_only[0], "EUR 1");
    assert!(["not-permitted", "read-only"].contains(&told_read_only[1].as_str()), "{told_read_only:?}");
    assert_eq!(told_read_only[2], "not-permitted");
    assert_eq!(told_read_only[3], "not-permitted");
    assert_eq!(told_read_only[4], "no-entry");
    assert!(!host.path().join("new").exists());

    assert_eq!(told(&with(true), &scripts)[1], "5 bytes");
    assert_eq!(fs::read_to_string(host.path().join("new")).unwrap(), "hello");

    let directory = Directory { host: host.path().to_owned(), guest: "/data".into(), writable: true };
    let mut grants = Grants::from_names(&["http"]).unwrap();
    grants.directories = vec![directory];
    let shadow = engine().load(&component("reaches-out"), &grants.without_effects()).unwrap();
    let told = told(&shadow, &["write:shadow=x", "read:rates"]);
    assert!(["not-permitted", "read-only"].contains(&told[0].as_str()), "{told:?}");
    assert_eq!(told[1], "EUR 1");
}

#[test]
fn a_pipe_in_a_granted_directory_holds_nobody() {
    let host = tempfile::tempdir().unwrap();
    let pipe = host.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let directory = Directory { host: host.path().to_owned(), guest: "/data".into(), writable: true };
    let module = module(|grants| grants.directories = vec![directory]);
    let began = Instant::now();
    let told = told(&module, &["read:pipe", "write:pipe=x", "write:new=hello", "read:new"]);
    assert_eq!(told, ["unsupported", "unsupported", "5 bytes", "hello"]);
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn without_a_directory_there_is_none_to_open() {
    assert_eq!(told(&module(|_| ()), &["read:rates"]), ["no directory"]);
}

#[test]
fn a_guest_sees_the_variables_it_is_given_and_none_of_the_hosts() {
    let given = module(|grants| grants.environment = vec![("TZ".into(), "UTC".into())]);
    assert_eq!(told(&given, &["env:TZ", "env:PATH"]), ["UTC", "not set"]);
    assert_eq!(told(&module(|_| ()), &["env:TZ", "env:PATH"]), ["not set", "not set"]);
}
