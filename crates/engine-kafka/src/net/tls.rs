//! TLS: a connection that only the two ends can read, to a broker that proves its name.

use crate::net::trouble::Trouble;
use anabranch_engine::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned, SupportedProtocolVersion,
};
use std::io::{BufReader, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// A connection with TLS.
pub type Stream = StreamOwned<ClientConnection, Below>;

/// What lies below TLS. It is read in large pieces: TLS itself asks for 4 KiB at a time.
pub struct Below(BufReader<TcpStream>);

const PIECE_BYTES: usize = 64 << 10;

impl Read for Below {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Below {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> std::io::Result<usize> {
        self.0.get_mut().write_vectored(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(()) // nothing is held back on this way
    }
}

/// Who we are, to brokers that ask for a certificate.
pub struct Own {
    /// Our certificate and those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// Which names a broker's certificate may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// That of the host we connect to.
    Checked,
    /// Any: `ssl.endpoint.identification.algorithm` is set to nothing.
    Any,
}

/// How TLS is spoken.
pub struct Tls {
    config: Arc<ClientConfig>,
    trusted: String,
    /// Whether we have a certificate of our own.
    pub has_certificate: bool,
}

impl Tls {
    /// TLS with brokers that one of `roots` vouches for; `trusted` says where those are from.
    pub fn new(
        roots: Vec<CertificateDer<'static>>,
        trusted: String,
        own: Option<Own>,
        names: Names,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Tls> {
        let wrong = |what: &str, e: &dyn std::fmt::Display| Error::usage(format!("{what} cannot be used for TLS: {e}"));
        let mut store = RootCertStore::empty();
        let (taken, _) = store.add_parsable_certificates(roots);
        if taken == 0 {
            return Err(wrong(&trusted, &"it has no certificate that can be read"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone());
        let inner = inner.build().map_err(|e| wrong(&trusted, &e))?;
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let builder = builder.map_err(|e| wrong("this list of versions", &e))?;
        let builder = match names {
            Names::Checked => builder.with_webpki_verifier(inner),
            Names::Any => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { inner })),
        };
        let has_certificate = own.is_some();
        let config = match own {
            Some(own) => builder.with_client_auth_cert(own.chain, own.key),
            None => Ok(builder.with_no_client_auth()),
        };
        let config = config.map_err(|e| wrong("the certificate of ssl.keystore", &e))?;
        Ok(Tls { config: Arc::new(config), trusted, has_certificate })
    }

    /// Agrees with the broker at the other end on how to speak. The time-outs of the link hold.
    pub fn shake(&self, link: TcpStream, peer: &str) -> Result<Stream, Trouble> {
        let mut link = Below(BufReader::with_capacity(PIECE_BYTES, link));
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_string());
        let name =
            name.map_err(|_| Trouble::Fatal(Error::usage(format!("{host} is no name that a certificate can have"))))?;
        let connection = ClientConnection::new(self.config.clone(), name);
        let mut connection = connection.map_err(|e| self.refused(&e, peer))?;
        while connection.is_handshaking() {
            match connection.complete_io(&mut link) {
                Ok((0, 0)) => return Err(no_tls(peer, "it closed the connection")),
                Ok(_) => {}
                Err(e) => return Err(self.explain(&e, peer).unwrap_or_else(|| no_tls(peer, &how(&e)))),
            }
        }
        Ok(StreamOwned::new(connection, link))
    }

    /// What went wrong in TLS itself; `None` if the connection was lost for another reason.
    pub fn explain(&self, e: &std::io::Error, peer: &str) -> Option<Trouble> {
        let inner = e.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(self.refused(inner, peer))
    }

    fn refused(&self, e: &rustls::Error, peer: &str) -> Trouble {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        let error = match e {
            InvalidCertificate(e) => self.untrusted(e, peer),
            InvalidMessage(_) => return no_tls(peer, "what it answers is not TLS"),
            AlertReceived(alert) if about_us(*alert) => {
                let help = if self.has_certificate {
                    "the certificate of  ssl.keystore.location  must be one that the brokers trust"
                } else {
                    "it asks for a certificate of ours: name it with  ssl.keystore.location"
                };
                Error::usage(format!("the broker {peer} refuses the certificate of this client ({e})")).help(help)
            }
            AlertReceived(_) => Error::usage(format!("the broker {peer} refuses to speak TLS with us ({e})"))
                .help("its log tells why; TLS 1.2 and 1.3 are spoken here"),
            _ => Error::machine(format!("TLS with the broker {peer} failed: {e}")),
        };
        Trouble::Fatal(error)
    }

    fn untrusted(&self, e: &CertificateError, peer: &str) -> Error {
        use CertificateError::*;
        match e {
            NotValidForName | NotValidForNameContext { .. } => {
                let names = match e {
                    NotValidForNameContext { presented, .. } if !presented.is_empty() => shown(presented),
                    _ => "no host".into(),
                };
                let help = "connect to a name that it has, or let it be made for this one too; an empty  \
                            ssl.endpoint.identification.algorithm=  takes any name";
                Error::usage(format!("the certificate of the broker {peer} is for {names}, not for this host"))
                    .help(help)
            }
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                Error::usage(format!("the certificate of the broker {peer} is not valid today: {e}"))
                    .help("renew it, or correct the clock of this machine")
            }
            UnknownIssuer | BadSignature => {
                let text = format!("the certificate of the broker {peer} is not signed by any of {}", self.trusted);
                Error::usage(text).help("ssl.truststore.location  names the PEM file of the CA that signed it")
            }
            _ => Error::usage(format!("the certificate of the broker {peer} is not trusted: {e}"))
                .help("the broker needs another certificate; its log and  openssl x509 -text  tell more"),
        }
    }
}

/// The names of a certificate, `DnsName("a")`, as far as one wants to read them; they come from the other side.
fn shown(names: &[String]) -> String {
    let inner = |n: &str| n.split_once('(').map_or(n, |(_, n)| n).trim_matches(['"', ')']).to_string();
    let plain = |n: &String| inner(n).chars().filter(|c| !c.is_control()).take(80).collect::<String>();
    names.iter().take(5).map(plain).collect::<Vec<_>>().join(", ")
}

/// Whether an alert says that our certificate is missing or refused.
fn about_us(alert: AlertDescription) -> bool {
    use AlertDescription::*;
    matches!(
        alert,
        NoCertificate
            | BadCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateExpired
            | CertificateUnknown
            | UnknownCA
            | AccessDenied
            | CertificateRequired
    )
}

fn how(e: &std::io::Error) -> String {
    match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it was silent".to_string(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "it closed the connection".into()
        }
        _ => e.to_string(),
    }
}

/// Nobody speaks TLS there, or the broker is just going away.
fn no_tls(peer: &str, how: &str) -> Trouble {
    Trouble::Again(
        Error::machine(format!("the broker {peer} does not speak TLS at this port: {how}"))
            .help("name its port with TLS, or set  security.protocol=PLAINTEXT  (or SASL_PLAINTEXT)"),
    )
}

/// Everything is verified but the name.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        match self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // the name is looked at last, when the certificate itself was found good
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
