//! TLS beside plain connections on one port, or instead of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use gantry_dev_broker::{Broker, BrokerConfig, TlsFiles};
use gantry_protocol::{FrameDecoder, RemotingCommand, RequestCode, ResponseCode};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::{PATIENCE, in_memory};

/// A certificate for 127.0.0.1 that vouches for itself.
fn files(directory: &Path, enforcing: bool) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (cert_file, key_file) = (directory.join("cert.pem"), directory.join("key.pem"));
    fs::write(&cert_file, made.cert.pem()).unwrap();
    fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
    TlsFiles { cert_file, key_file, client_ca_file: None, enforcing }
}

async fn broker(enforcing: bool) -> (Broker, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let tls = Some(files(directory.path(), enforcing));
    (Broker::start(BrokerConfig { tls, ..in_memory() }).await.unwrap(), directory)
}

/// What the broker answers over this stream; none if it ends it, with or without a last word in another tongue.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<ResponseCode> {
    let mut frame = BytesMut::new();
    RemotingCommand::bare_request(RequestCode::GET_BROKER_CLUSTER_INFO).encode(&mut frame).unwrap();
    stream.write_all(&frame).await.ok()?;
    let mut answer = BytesMut::new();
    loop {
        match FrameDecoder::default().decode(&mut answer) {
            Ok(Some(command)) => return Some(command.response_code()),
            Ok(None) => {}
            Err(_alert) => return None,
        }
        if timeout(PATIENCE, stream.read_buf(&mut answer)).await.unwrap().unwrap_or(0) == 0 {
            return None;
        }
    }
}

async fn over_tls(broker: &Broker, directory: &TempDir) -> Option<ResponseCode> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.path().join("cert.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(broker.local_addr()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    ask(TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()).await
}

async fn plainly(broker: &Broker) -> Option<ResponseCode> {
    ask(TcpStream::connect(broker.local_addr()).await.unwrap()).await
}

#[tokio::test]
async fn one_port_speaks_both_until_tls_is_enforced() {
    let (permissive, directory) = broker(false).await;
    assert_eq!(over_tls(&permissive, &directory).await, Some(ResponseCode::SUCCESS));
    assert_eq!(plainly(&permissive).await, Some(ResponseCode::SUCCESS));
    let (enforcing, directory) = broker(true).await;
    assert_eq!(over_tls(&enforcing, &directory).await, Some(ResponseCode::SUCCESS));
    assert_eq!(plainly(&enforcing).await, None);
}

#[tokio::test]
async fn a_greeting_that_breaks_off_harms_nobody_else() {
    let (broker, directory) = broker(false).await;
    let mut half = TcpStream::connect(broker.local_addr()).await.unwrap();
    half.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
    let mut garbage = TcpStream::connect(broker.local_addr()).await.unwrap();
    garbage.write_all(&[0x16; 64]).await.unwrap();
    assert_eq!(ask(garbage).await, None);
    drop(half);
    assert_eq!(over_tls(&broker, &directory).await, Some(ResponseCode::SUCCESS));
}

#[tokio::test]
async fn files_that_do_not_do_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut tls = files(directory.path(), false);
    tls.key_file = directory.path().join("absent.pem");
    let error = Broker::start(BrokerConfig { tls: Some(tls), ..in_memory() }).await.unwrap_err();
    assert!(error.to_string().contains("absent.pem"), "{error}");
}
