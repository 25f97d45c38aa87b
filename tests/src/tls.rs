//! TLS on loopback, with an authority that no system knows.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::server::TlsStream;

/// Listens with a certificate for a host. Returns the authority's certificate as PEM too.
pub(crate) async fn listen(host: &str) -> (String, Tls) {
    let (authority, config) = certificates(host);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    (authority, Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) })
}

/// Makes a certificate authority as PEM, and the configuration of a server with a certificate of
/// it.
pub(crate) fn certificates(host: &str) -> (String, ServerConfig) {
    let ca_key = KeyPair::generate().expect("a key is made");
    let mut ca = CertificateParams::new(Vec::new()).expect("an authority has no names");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).expect("an authority signs itself");
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().expect("a key is made");
    let leaf = CertificateParams::new(vec![host.to_owned()]).expect("it is a host");
    let certificate = leaf.signed_by(&key, &issuer).expect("the authority signs");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("the key is the certificate's");
    (ca_certificate.pem(), config)
}

/// A listener that speaks TLS.
pub(crate) struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    /// A caller that does not trust the certificate closes the connection, so this waits for the
    /// next one.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
