//! Certificates and keys in PEM: whom we trust, and who we are.

use crate::net::settings::{self, Settings};
use crate::net::tls::{Names, Own, Tls};
use anabranch_engine::Result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Java's own stores are turned into PEM like this.
const CONVERT: &str = "turn it into PEM:  keytool -importkeystore -srckeystore FILE -destkeystore new.p12 -deststoretype \
                       PKCS12  then  openssl pkcs12 -in new.p12 -nodes -out FILE.pem";
/// Bytes of a file of certificates.
const FILE_BYTES: u64 = 16 << 20;

/// Where a store is named: its type, its file, or all of it in the settings.
struct Store {
    kind: &'static str,
    location: &'static str,
    inline: &'static str,
}

const TRUSTED: Store =
    Store { kind: "ssl.truststore.type", location: "ssl.truststore.location", inline: "ssl.truststore.certificates" };
const OURS: Store =
    Store { kind: "ssl.keystore.type", location: "ssl.keystore.location", inline: "ssl.keystore.certificate.chain" };

/// TLS as the settings want it.
pub fn tls(settings: &Settings) -> Result<Tls> {
    for key in ["ssl.engine.factory.class", "ssl.provider", "ssl.cipher.suites"] {
        settings.refuse(key, "cannot be chosen here", "remove it: TLS 1.2 and 1.3 with sound ciphers are used")?;
    }
    const NAMES: &str = "ssl.endpoint.identification.algorithm";
    let names = match settings.get(NAMES).unwrap_or("https").to_ascii_lowercase().as_str() {
        _ if settings.is_empty(NAMES) => Names::Any,
        "https" => Names::Checked,
        _ => return Err(settings.wrong(NAMES, "is unknown", "write  https, or nothing: names are not checked then")),
    };
    let (roots, trusted) = roots(settings)?;
    Tls::new(roots, trusted, own(settings)?, names, &versions(settings)?)
}

/// The versions of TLS that may be spoken.
fn versions(settings: &Settings) -> Result<Vec<&'static rustls::SupportedProtocolVersion>> {
    const KEY: &str = "ssl.enabled.protocols";
    let Some(text) = settings.get(KEY) else { return Ok(rustls::ALL_VERSIONS.to_vec()) };
    let named = text.split(',').filter_map(|v| match v.trim() {
        "TLSv1.3" => Some(&rustls::version::TLS13),
        "TLSv1.2" => Some(&rustls::version::TLS12),
        _ => None,
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        return Err(settings.wrong(KEY, "names no version that is safe", "write  TLSv1.2,TLSv1.3"));
    }
    Ok(named)
}

/// Whom we trust, and where that is said.
fn roots(settings: &Settings) -> Result<(Vec<CertificateDer<'static>>, String)> {
    let (key, pem) = match pem(settings, &TRUSTED)? {
        Some(found) => found,
        None => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let why = "is not set, and this system has no certificates";
                return Err(settings.wrong(TRUSTED.location, why, "name the PEM file of the brokers' CA"));
            }
            return Ok((found.certs, "the certificates of this system".into()));
        }
    };
    let all = certificates(settings, key, &pem)?;
    let trusted = settings.get(key).filter(|_| key == TRUSTED.location).unwrap_or(key);
    Ok((all, trusted.to_string()))
}

/// Who we are, where the brokers want to know it by a certificate.
fn own(settings: &Settings) -> Result<Option<Own>> {
    const KEY: &str = "ssl.keystore.key";
    let Some((key, chain)) = pem(settings, &OURS)? else {
        settings.refuse(KEY, "stands without a certificate", "add  ssl.keystore.certificate.chain")?;
        return Ok(None);
    };
    let private = settings.get(KEY).map_or_else(|| chain.clone(), lines);
    if private.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        let help = "remove the password in a copy that only you can read:  openssl pkcs8 -in FILE -out COPY";
        return Err(settings.wrong(key, "has an encrypted private key, which is not in this version", help));
    }
    let private = PrivateKeyDer::from_pem_slice(private.as_bytes()).map_err(|_| {
        settings.wrong(
            key,
            "has no private key in PEM",
            "the file holds the certificates and the key, one after the other",
        )
    })?;
    Ok(Some(Own { chain: certificates(settings, key, &chain)?, key: private }))
}

/// The PEM text of a store, and the key that says where it is.
fn pem(settings: &Settings, store: &Store) -> Result<Option<(&'static str, String)>> {
    if let Some(kind) = settings.get(store.kind).filter(|k| !k.trim().eq_ignore_ascii_case("PEM")) {
        let why = format!("is {}: only PEM is read", kind.trim());
        return Err(settings.wrong(store.kind, &why, &format!("{CONVERT}  and write  {}=PEM", store.kind)));
    }
    if let Some(text) = settings.get(store.inline) {
        return Ok(Some((store.inline, lines(text))));
    }
    let Some(file) = settings.get(store.location) else { return Ok(None) };
    let unreadable = |why: String| {
        settings.wrong(store.location, &format!("names {file}, which cannot be read: {why}"), "name a PEM file")
    };
    let bytes = settings::read_at_most(file.as_ref(), FILE_BYTES).map_err(unreadable)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if !text.contains("-----BEGIN ") {
        let why = format!("names {file}, which is not PEM, but a store of Java, it seems");
        return Err(settings.wrong(store.location, &why, CONVERT));
    }
    Ok(Some((store.location, text)))
}

fn certificates(settings: &Settings, key: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| settings.wrong(key, "has no certificate in PEM", "it begins with  -----BEGIN CERTIFICATE-----"))
}

/// PEM in a setting is often one long line, which Kafka takes: begin and end get lines of their own.
fn lines(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split("-----").enumerate() {
        match i % 2 {
            1 => out += &format!("-----{}-----\n", part.trim()),
            _ => part.split_whitespace().for_each(|line| out += &format!("{line}\n")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_on_one_line_is_taken() {
        let long = "-----BEGIN CERTIFICATE----- QUJD  REVG -----END CERTIFICATE-----";
        let same = "-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n-----END CERTIFICATE-----\n";
        assert_eq!(lines(long), same);
        assert_eq!(lines(same), same);
        let der = CertificateDer::from_pem_slice(lines(long).as_bytes()).expect("reads");
        assert_eq!(der.as_ref(), b"ABCDEF");
    }
}
