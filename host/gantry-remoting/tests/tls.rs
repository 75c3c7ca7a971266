//! TLS with real handshakes over loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its tasks end with it"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_remoting::{Client, InvokeError, RefuseRequests, RemotingSettings, TlsDialer, TlsSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::*;
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

/// An authority and what it has signed, as files.
struct Authority {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs a certificate for `name`: `WHO.pem` and `WHO.key`.
    fn sign(&self, who: &str, params: CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.file(&format!("{who}.pem")), certificate.pem()).unwrap();
        fs::write(self.file(&format!("{who}.key")), key.serialize_pem()).unwrap();
    }

    fn server(&self, name: &str) {
        self.sign("server", CertificateParams::new(vec![name.to_owned()]).unwrap());
    }

    /// Serves echoes under the server's certificate; with `mutual` only to clients this authority vouches for.
    async fn serve(&self, mutual: bool) -> String {
        let builder = ServerConfig::builder();
        let builder = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(&self.file("ca.pem"))).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).unwrap();
        let config = builder.with_single_cert(vec![certificate(&self.file("server.pem"))], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        Peer::over(stream).echo_all().await;
                    }
                });
            }
        });
        addr
    }
}

fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).unwrap()
}

async fn ask(addr: &str, settings: &TlsSettings) -> Result<String, InvokeError> {
    let dialer = Arc::new(TlsDialer::new(settings).unwrap());
    let client = Client::with_dialer(RemotingSettings::default(), Arc::new(RefuseRequests), dialer);
    let answer = client.invoke(addr, request("over TLS"), PATIENCE).await;
    client.close().await;
    answer.map(|answer| text(&answer).to_owned())
}

async fn refusal(addr: &str, settings: &TlsSettings) -> String {
    ask(addr, settings).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_peer_that_proves_its_name_is_spoken_with() {
    let authority = Authority::new();
    authority.server("127.0.0.1");
    let addr = authority.serve(false).await;
    let settings = TlsSettings { ca_file: Some(authority.file("ca.pem")), ..TlsSettings::default() };
    assert_eq!(ask(&addr, &settings).await.unwrap(), "over TLS");
}

#[tokio::test]
async fn an_unknown_authority_and_another_name_are_refused_with_the_fix() {
    let authority = Authority::new();
    authority.server("broker.example");
    let addr = authority.serve(false).await;
    let ours = TlsSettings { ca_file: Some(authority.file("ca.pem")), ..TlsSettings::default() };
    let refused = refusal(&addr, &ours).await;
    assert!(refused.contains("server-name"), "{refused}");
    let named = TlsSettings { server_name: Some("broker.example".into()), ..ours };
    assert_eq!(ask(&addr, &named).await.unwrap(), "over TLS");
    let stranger = Authority::new();
    let refused =
        refusal(&addr, &TlsSettings { ca_file: Some(stranger.file("ca.pem")), ..named.clone() }).await;
    assert!(refused.contains("ca-file"), "{refused}");
    let anybody = TlsSettings { insecure: true, ..TlsSettings::default() };
    assert_eq!(ask(&addr, &anybody).await.unwrap(), "over TLS");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 2, 1);
    authority.sign("server", params);
    let addr = authority.serve(false).await;
    let settings = TlsSettings { ca_file: Some(authority.file("ca.pem")), ..TlsSettings::default() };
    let refused = refusal(&addr, &settings).await;
    assert!(refused.contains("expired"), "{refused}");
}

#[tokio::test]
async fn a_peer_that_wants_our_certificate_gets_it_and_else_refuses() {
    let authority = Authority::new();
    authority.server("127.0.0.1");
    authority.sign("client", CertificateParams::new(vec!["host-a".to_owned()]).unwrap());
    let addr = authority.serve(true).await;
    let without = TlsSettings { ca_file: Some(authority.file("ca.pem")), ..TlsSettings::default() };
    ask(&addr, &without).await.unwrap_err();
    let with = TlsSettings {
        cert_file: Some(authority.file("client.pem")),
        key_file: Some(authority.file("client.key")),
        ..without
    };
    assert_eq!(ask(&addr, &with).await.unwrap(), "over TLS");
}

#[tokio::test]
async fn a_peer_without_tls_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // What a peer answers that takes the greeting for a frame of its own.
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"\0\0\0\x05hello").await.unwrap();
    });
    let refused = refusal(&addr, &TlsSettings { insecure: true, ..TlsSettings::default() }).await;
    assert!(refused.contains("does not speak TLS here"), "{refused}");
}
