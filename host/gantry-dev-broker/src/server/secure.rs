//! Whether a connection is plain or TLS, which its first byte tells (RocketMQ: TlsModeHandler).

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::CloseReason;
use crate::config::TlsFiles;
use crate::error::StartError;

/// How long a client may take to say its first word, and to finish a handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first byte of a TLS greeting; no frame of the protocol can begin with it, being longer than allowed then.
const HANDSHAKE: u8 = 0x16;

pub(super) type Reading = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// Both directions of a connection that was let in.
pub(super) struct Halves {
    pub(super) reading: Reading,
    pub(super) writing: Writing,
}

/// What connections pass through.
#[derive(Default)]
pub(crate) struct Gate(Option<Tls>);

struct Tls {
    acceptor: TlsAcceptor,
    enforcing: bool,
}

impl Gate {
    /// Reads the files the configuration names.
    pub(crate) fn new(files: Option<&TlsFiles>) -> Result<Self, StartError> {
        files.map(Tls::new).transpose().map(Self)
    }

    /// Both directions of `socket`, decrypted where the client speaks TLS.
    pub(super) async fn pass(&self, socket: TcpStream) -> Result<Halves, CloseReason> {
        let Some(tls) = &self.0 else { return Ok(plain(socket)) };
        let silent = |_elapsed| CloseReason::Silent;
        let mut first = [0];
        let peeked = tokio::time::timeout(PATIENCE, socket.peek(&mut first)).await.map_err(silent)?;
        match peeked {
            Err(error) => Err(CloseReason::Broken(error.to_string())),
            Ok(0) => Err(CloseReason::Client),
            Ok(_) if first == [HANDSHAKE] => {
                let accepted = tokio::time::timeout(PATIENCE, tls.acceptor.accept(socket)).await;
                let stream = accepted.map_err(silent)?;
                let stream = stream.map_err(|error| CloseReason::Handshake(error.to_string()))?;
                let (reading, writing) = tokio::io::split(stream);
                Ok(Halves { reading: Box::new(reading), writing: Box::new(writing) })
            }
            Ok(_) if tls.enforcing => {
                Err(CloseReason::Handshake("the client speaks plainly, and TLS is enforced".to_owned()))
            }
            Ok(_) => Ok(plain(socket)),
        }
    }
}

fn plain(socket: TcpStream) -> Halves {
    let (reading, writing) = socket.into_split();
    Halves { reading: Box::new(reading), writing: Box::new(writing) }
}

impl Tls {
    fn new(files: &TlsFiles) -> Result<Self, StartError> {
        let provider = Arc::new(ring::default_provider());
        let refused = |rule: String| StartError::Config { setting: "tls", rule };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?;
        let builder = match &files.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                builder.with_client_cert_verifier(client_verifier(path, provider).map_err(refused)?)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&files.key_file)
            .map_err(|error| refused(format!("no private key in {}: {error}", files.key_file.display())))?;
        let config = builder
            .with_single_cert(certificates(&files.cert_file).map_err(refused)?, key)
            .map_err(|error| refused(format!("certificate and key do not fit: {error}")))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), enforcing: files.enforcing })
    }
}

fn client_verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn tokio_rustls::rustls::server::danger::ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| format!("{}: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |reason: String| format!("no certificates in {}: {reason}", path.display());
    let text = fs::read(path).map_err(|error| fail(error.to_string()))?;
    let read = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|error| fail(error.to_string()))?;
    if certificates.is_empty() { Err(fail("there is none".to_owned())) } else { Ok(certificates) }
}
