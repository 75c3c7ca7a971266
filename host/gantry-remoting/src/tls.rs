//! TLS to brokers and name servers: verified unless the operator says loudly otherwise.
//!
//! Java's client verifies nothing by default (`tls.test.mode.enable`), Go's never does. Here the peer proves its name by a
//! certificate of the system's authorities or of the operator's own, and may ask for ours (mutual TLS).

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::CryptoProvider,
        pki_types::{
            CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _,
        },
    },
};

use crate::transport::{Dial, Dialer, Halves};

/// How a client's connections are encrypted, and whom they trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// A PEM file with the authorities that may vouch for peers (`tls.client.trustCertPath`). Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with our own certificate and those between it and its authority, for peers that ask for one
    /// (`tls.client.certPath`). With `key_file`. Default: none.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with its private key, not encrypted (`tls.client.keyPath`).
    pub key_file: Option<PathBuf>,
    /// The name peers must prove, where it is not that of their address. Default: the address's host.
    pub server_name: Option<String>,
    /// Takes any certificate for any name, as Java's client does by default: whoever sits in between reads and writes
    /// everything. Default `false`.
    pub insecure: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of certificates or a key.
    #[error("cannot read {what} from {}: {reason}; it must be a PEM file", path.display())]
    File {
        /// What was to be read.
        what: &'static str,
        /// From where.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system's store is empty or unreadable.
    #[error("the system has no certificate authorities to trust ({0}); name a file of them with ca-file")]
    NoSystemAuthorities(String),
    /// A certificate without its key, or the reverse.
    #[error("cert-file and key-file belong together; give both, or neither")]
    HalfIdentity,
    /// Certificate and key do not fit.
    #[error("cert-file and key-file do not make an identity: {0}")]
    Identity(Error),
    /// `server_name` is none.
    #[error("`{0}` is not a server name: give a DNS name or an IP address, without a port")]
    ServerName(String),
}

/// TLS over TCP.
pub struct TlsDialer {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl TlsDialer {
    /// Reads the files the settings name.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let server_name = settings.server_name.as_deref().map(server_name).transpose()?;
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Identity)?;
        let builder = if settings.insecure {
            tracing::warn!(
                "TLS without verification: whoever sits between this host and its brokers can read and change everything"
            );
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider())))
        } else {
            builder.with_root_certificates(authorities(settings.ca_file.as_deref())?)
        };
        let config = match (&settings.cert_file, &settings.key_file) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("the certificate", cert)?, private_key(key)?)
                .map_err(TlsError::Identity)?,
            _ => return Err(TlsError::HalfIdentity),
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name })
    }

    async fn connect(&self, addr: &str) -> io::Result<Halves> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host(addr)).map_err(io::Error::other)?,
        };
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let stream = self.connector.connect(name, stream).await.map_err(|error| explained(error, addr))?;
        let (reader, writer) = tokio::io::split(stream);
        Ok(Halves { reader: Box::new(reader), writer: Box::new(writer) })
    }
}

impl Dialer for TlsDialer {
    fn dial<'a>(&'a self, addr: &'a str) -> Dial<'a> {
        Box::pin(self.connect(addr))
    }
}

impl fmt::Debug for TlsDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsDialer").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// `host:port` without the port, `[::1]:port` without the brackets too.
fn host(addr: &str) -> &str {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned())
        .map_err(|_invalid: InvalidDnsNameError| TlsError::ServerName(name.to_owned()))
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    if let Some(path) = file {
        let what = "certificate authorities";
        for certificate in certificates(what, path)? {
            store.add(certificate).map_err(|error| unreadable(what, path, &error))?;
        }
        return Ok(store);
    }
    let system = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(system.certs);
    if store.is_empty() {
        let reasons: Vec<_> = system.errors.iter().map(ToString::to_string).collect();
        let reason = if reasons.is_empty() { "none found".to_owned() } else { reasons.join("; ") };
        return Err(TlsError::NoSystemAuthorities(reason));
    }
    Ok(store)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(what, path, &error))?;
    if certificates.is_empty() {
        return Err(unreadable(what, path, &"it holds no certificate"));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable("the private key", path, &error))
}

fn unreadable(what: &'static str, path: &Path, reason: &dyn fmt::Display) -> TlsError {
    TlsError::File { what, path: path.to_owned(), reason: reason.to_string() }
}

/// What a failed handshake most likely means.
fn explained(error: io::Error, addr: &str) -> io::Error {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let fix = match cause {
        Some(Error::InvalidCertificate(_)) => {
            "name the authority with ca-file, or the name it vouches for with server-name"
        }
        Some(Error::AlertReceived(_)) => {
            "the peer refused: it may want a certificate of ours (cert-file, key-file)"
        }
        Some(Error::InvalidMessage(_)) => "the peer does not speak TLS here",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("no TLS with {addr}: {error}; {fix}"))
}

/// Trusts whoever answers; signatures of the handshake are checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_to_prove_is_the_address_without_its_port() {
        assert_eq!(host("broker.example:10911"), "broker.example");
        assert_eq!(host("127.0.0.1:9876"), "127.0.0.1");
        assert_eq!(host("[::1]:9876"), "::1");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_with_what_to_do() {
        let refused = |settings: TlsSettings| TlsDialer::new(&settings).unwrap_err().to_string();
        let half =
            refused(TlsSettings { insecure: true, cert_file: Some("a.pem".into()), ..Default::default() });
        assert!(half.contains("give both"), "{half}");
        let absent = refused(TlsSettings { ca_file: Some("absent.pem".into()), ..Default::default() });
        assert!(absent.contains("absent.pem"), "{absent}");
        let name = refused(TlsSettings { server_name: Some("a b".into()), ..Default::default() });
        assert!(name.contains("`a b` is not a server name"), "{name}");
    }
}
